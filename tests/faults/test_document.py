"""docs/faults.md speaks of every fault, and every test that it names is there."""

import ast
import re
from pathlib import Path

import pytest

from stripe_assets.simulator.faults import NAMES

ROOT = Path(__file__).parents[2]
DOCUMENT = (ROOT / "docs" / "faults.md").read_text()
NAMED = sorted(set(re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", DOCUMENT)))
ROWS = [row.split("|")[1:-1] for row in DOCUMENT.splitlines() if row.startswith("| ")]


def test_every_fault_has_its_row() -> None:
    """A fault that is not in the table is one whose treatment nobody has decided."""
    told = [row[0].strip().strip("`") for row in ROWS if row[0].strip().startswith("`")]
    assert sorted(told) == NAMES


def test_every_row_names_a_test() -> None:
    """What is claimed without one is a hope."""
    claims = [row for row in ROWS if row[0].strip() not in ("fault", "hole")]
    assert len(claims) == len(NAMES) + 13
    assert [row[0] for row in claims if "::test_" not in row[-1]] == []


@pytest.mark.parametrize(("path", "name"), NAMED)
def test_named_test_exists(path: str, name: str) -> None:
    """Tests are renamed; a document that is not read by one goes on naming the old ones."""
    functions = {node.name for node in ast.walk(ast.parse((ROOT / path).read_text())) if isinstance(node, ast.FunctionDef)}
    assert name in functions


def test_every_named_path_is_read() -> None:
    """A name that the pattern does not match would not be looked for."""
    assert DOCUMENT.count("tests/") == sum(DOCUMENT.count(f"`{path}::{name}`") for path, name in NAMED)
