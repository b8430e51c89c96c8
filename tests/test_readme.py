"""What the README tells people to type exists, and says what it says."""

import json
import os
import re
import shlex
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import MappingProxyType

import pytest
from readme import README, code_blocks, first_commands

from stripe_assets.catalog.types import load

ROOT = README.parent
LINES = {line for block in code_blocks("sh") for line in block.splitlines()}
COMMANDS = sorted(line for line in LINES if re.match(r"(\S+=\S+ )*(\.venv/bin/)?stripe-assets ", line))


def test_first_two_commands_install_and_run() -> None:
    commands = first_commands()
    assert commands["demo"].endswith(".venv/bin/stripe-assets demo")
    assert commands["test"].endswith(".venv/bin/pytest")
    assert all("-c constraints.txt" in command for command in commands.values())


def test_readme_shows_commands_at_all() -> None:
    assert len(COMMANDS) >= 5


@pytest.mark.parametrize("line", COMMANDS)
def test_command_and_its_options_exist(line: str) -> None:
    """Each option that a line of the README uses is one that the command's help names."""
    words = shlex.split(line.split("#")[0])
    words = words[next(index for index, word in enumerate(words) if word.endswith("stripe-assets")) + 1 :]
    environment = {**os.environ, "COLUMNS": "200", "NO_COLOR": "1", "TERM": "dumb"}
    shown = subprocess.run(
        [sys.executable, "-m", "stripe_assets.cli", words[0], "--help"], capture_output=True, text=True, check=True, env=environment
    )
    for word in words[1:]:
        if word.startswith("--"):
            assert word in shown.stdout
        elif words[0] == "sync":
            assert word in load().names or not word.isidentifier()


class Things(ThreadingHTTPServer):
    """A server that remembers what it was asked, and when."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), OneThing)
        self.asked: list[tuple[float, str]] = []


class OneThing(BaseHTTPRequestHandler):
    """An API of somebody else: three pages of ten things, each of which is asked for by itself, and one 429."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        assert isinstance(self.server, Things)
        asked = self.server.asked
        asked.append((time.monotonic(), self.path))
        if len(asked) == 7:
            self.reply(429, {"error": "slow down"}, {"Retry-After": "0.25"})
        elif self.path.startswith("/things/"):
            self.reply(200, {"id": self.path})
        else:
            number = int(self.path.partition("=")[2] or 0)
            following = f"/things?page={number + 1}" if number < 2 else None
            paths = [f"/things/{10 * number + place}" for place in range(10)]
            self.reply(200, {"things": paths, "next": following, "pages_left": 2 - number})

    def reply(self, status: int, body: object, headers: Mapping[str, str] = MappingProxyType({})) -> None:
        content = json.dumps(body).encode()
        self.send_response(status)
        for name, value in {"Content-Length": str(len(content)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Keep quiet."""


@pytest.fixture
def things() -> Iterator[Things]:
    server = Things()
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def test_limiter_keeps_another_apis_limits_as_the_example_says(things: Things, tmp_path: Path) -> None:
    """Whoever copies the example gets every object, at ten requests a second for each endpoint, over a 429 as well."""
    (example,) = code_blocks("python")
    script = tmp_path / "example.py"
    script.write_text(example.replace("http://localhost:8000", f"http://127.0.0.1:{things.server_port}"))
    clean = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")} | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=60, env=clean, check=False)
    assert done.returncode == 0, done.stderr
    assert re.match(r"30 things, Snapshot\(limit=50, .*granted=34, throttled=\{'endpoint-rate': 1\}", done.stdout), done.stdout
    assert len(things.asked) == 34
    single = sorted(at for at, path in things.asked if path.startswith("/things/"))
    fullest = max(sum(first <= at < first + 1.0 for at in single) for first in single)
    assert fullest <= 11, "ten, and one that the machine held up on its way"


def test_files_and_folders_that_it_names_are_there() -> None:
    for target in re.findall(r"\]\((?!http)([^)#]+)\)", README.read_text()):
        assert (ROOT / target).exists(), target


def test_constraints_hold_every_package_to_one_version_and_no_address() -> None:
    """A lock with addresses would work in one place only."""
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if line and not line.startswith("#")]
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.+!]+", line) for line in lines)
    versions = dict(line.split("==") for line in lines)
    assert versions["dagster"] == versions["dagster-webserver"]
