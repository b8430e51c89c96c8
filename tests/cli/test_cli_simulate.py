"""`simulate` says where it listens once it does, serves, and ends when told to."""

from __future__ import annotations

import re
import signal
from typing import TYPE_CHECKING

import httpx
import pytest

if TYPE_CHECKING:
    from tests.cli.conftest import Run, Start


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_simulate_serves_until_it_is_told_to_end(start: Start, number: signal.Signals) -> None:
    """The printed line can be pasted: its address answers to its key. A second one on the same port says why it cannot."""
    process = start("simulate", "--port", "0", "--customers", "3")
    assert process.stdout is not None
    process.stdout.readline()
    found = re.search(r"STRIPE_API_BASE=(\S+) STRIPE_API_KEY=(\S+) stripe-assets sync", process.stdout.readline())
    assert found is not None
    answer = httpx.get(f"{found[1]}/v1/customers", headers={"authorization": f"Bearer {found[2]}"})
    assert len(answer.json()["data"]) == 3
    second = start("simulate", "--port", found[1].rpartition(":")[2])
    said = second.communicate(timeout=20)[1]
    assert (second.returncode, len(said.splitlines())) == (1, 1)
    assert "is in use: choose another with --port" in said
    process.send_signal(number)
    assert process.wait(10) == 0


@pytest.mark.parametrize(
    ("fault", "words"),
    [("thunder=0.1", "there are concurrency"), ("html", "write it as html=0.05"), ("html=2", "from 0 to 1"), ("dns=0.1", "names no fault")],
)
def test_a_wrong_fault_ends_with_2(run: Run, fault: str, words: str) -> None:
    result = run("simulate", "--fault", fault)
    assert result.exit_code == 2
    assert words in result.stderr
