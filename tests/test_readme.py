"""What the README tells people to type exists, and says what it says."""

import os
import re
import shlex
import subprocess
import sys

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


def test_files_and_folders_that_it_names_are_there() -> None:
    for target in re.findall(r"\]\((?!http)([^)#]+)\)", README.read_text()):
        assert (ROOT / target).exists(), target


def test_constraints_hold_every_package_to_one_version_and_no_address() -> None:
    """A lock with addresses would work in one place only."""
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if line and not line.startswith("#")]
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.+!]+", line) for line in lines)
    versions = dict(line.split("==") for line in lines)
    assert versions["dagster"] == versions["dagster-webserver"]
