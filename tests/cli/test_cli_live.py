"""The live display: honest rates, and never more lines than the terminal has."""

from __future__ import annotations

import asyncio
import re
from io import StringIO
from pathlib import Path

from mirroring import FEW, NOW, World
from rich.console import Console

from stripe_assets.commands.console import span
from stripe_assets.commands.live import WINDOW, Display, Pace, time_left
from stripe_assets.simulator.account import Account
from stripe_assets.sync.engine import Mirror
from stripe_assets.sync.progress import TypeProgress
from stripe_assets.sync.settings import Settings


def test_the_pace_is_that_of_the_last_seconds() -> None:
    pace = Pace(100.0)
    assert pace.look(101.0, 50) == 50.0
    assert pace.look(101.0 + WINDOW, 50 + round(20 * WINDOW)) == 20.0


def test_time_left_is_the_longer_of_all_at_this_pace_and_one_type_at_its_limit() -> None:
    types = [
        TypeProgress("charges", pages_left=500),
        TypeProgress("refunds", pages_left=100),
        TypeProgress("plans", "complete", pages_left=9),
    ]
    assert time_left(types, 100, 25) == 20.0
    assert time_left(types, 10, 25) == 60.0
    assert time_left(types, 10, None) == 60.0
    assert time_left(types, 0, 25) is None
    assert time_left([], 10, 25) is None


def test_the_display_fits_the_terminal_and_shows_what_is_being_read_first() -> None:
    mirror = Mirror(Settings(api_key="sk_test_simulator", duckdb=Path("nowhere")))
    mirror.progress.types.update({f"type_{number}": TypeProgress(f"type_{number}") for number in range(30)})
    mirror.progress.types["type_29"].begin()
    mirror.progress.types["type_29"].pages_left = 1234
    console = Console(width=80, height=12, record=True, file=Path("/dev/null").open("w"))  # noqa: SIM115 - the console keeps it
    console.print(Display(mirror).picture(console.height))
    console.file.close()
    lines = console.export_text().splitlines()
    assert len(lines) <= console.height
    assert lines[1].split() == ["type_29", "reading", "0", "0", "1,234"]
    assert "... and 26 more" in lines


def test_the_display_fits_a_narrow_terminal_with_all_that_a_busy_limiter_says(tmp_path: Path) -> None:
    """A line too many, and the terminal scrolls at every redraw."""
    world = World(tmp_path / "stripe.duckdb", Account(seed=1, customers=80, now=NOW), {"account_limit": 20, "latency": 0.1})
    shown: list[str] = []

    async def watch() -> None:
        assert world.mirror is not None
        display = Display(world.mirror)
        for _ in range(6):
            await asyncio.sleep(0.5)
            console = Console(width=80, height=12, file=StringIO(), record=True)
            console.print(display.picture(console.height))
            shown.append(console.export_text())

    world.sync(FEW, meanwhile=watch)
    assert [text for text in shown if len(text.splitlines()) >= 12] == []
    last = " ".join(shown[-1].split())
    for part in (
        r"requests · \d+/s of \d+ ·",
        r"waiting, .* \(p50\)",
        r"of \d+ in flight",
        r"queue .*%",
        r"429s: \d+ global-rate",
        "learned: account",
    ):
        assert re.search(part, last), part


def test_stretches_of_time_read_as_people_say_them() -> None:
    assert [span(seconds) for seconds in (0.4, 42, 187, 3723, 4 * 86_400)] == ["0 s", "42 s", "3:07", "1:02:03", "4 days"]
