"""A room imports only from the rooms above it; facts about single types live in the catalog alone.

The list is the one of the design: what is not in it, the Dagster rooms and the command line, may import everything.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import stripe_assets
from stripe_assets.catalog.types import load

PACKAGE = Path(stripe_assets.__file__).parent
KNOWS: dict[str, set[str]] = {
    "catalog": set(),
    "errors": set(),
    "limits": {"errors"},
    "queues": set(),
    "api": {"errors", "limits"},
    "warehouse": {"catalog", "errors", "queues"},
    "sync": {"catalog", "errors", "limits", "queues", "api", "warehouse"},
    "simulator": set(),
}
"""Room, and the rooms that it may import from besides itself."""
MAY_NAME_TYPES = {"catalog", "simulator", "dbt_generate.py", "dbt_models.py", "commands/marts.py"}
"""The rooms that facts about single types belong in: the catalog, the simulator, dbt and what prints its marts' columns."""

WORDS = {"account", "accounts"}
"""Types that are called like something else of which every room speaks: the accounts that limits and rows belong to."""


def sources(room: str) -> list[Path]:
    path = PACKAGE / room
    return sorted(path.rglob("*.py")) if path.is_dir() else [path.with_suffix(".py")]


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0]


def imports(source: str) -> Iterator[str]:
    """Give the dotted names of everything that a module imports, wherever the import stands."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, "relative imports hide where a thing comes from"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def strangers(room: str, source: str) -> set[str]:
    """Name the rooms of ours that a module imports from, but may not, and Dagster if it does."""
    parts = [name.split(".") for name in imports(source)]
    ours = {name[1] if len(name) > 1 else "everything" for name in parts if name[0] == "stripe_assets"}
    return (ours - {room} - KNOWS[room]) | ({name[0] for name in parts} & {"dagster", "dagster_dbt"})


def named_types(source: str) -> set[str]:
    """Name the types that stand in a module as a string of their own; docstrings and sentences are no such strings."""
    types = set(load().names) - WORDS
    return {node.value for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Constant) and node.value in types}


@pytest.mark.parametrize("room", KNOWS)
def test_room_imports_only_from_rooms_above_it(room: str) -> None:
    """The engine runs without Dagster, and a belief that simulator and mirror share is one that no test finds wrong."""
    found = {path.name: strangers(room, path.read_text()) for path in sources(room)}
    assert found
    assert {name: rooms for name, rooms in found.items() if rooms} == {}


def test_every_room_of_the_engine_is_watched() -> None:
    """A new folder must find its place in the list, or say here that it stands at the edge."""
    folders = {path.name for path in PACKAGE.iterdir() if (path / "__init__.py").exists()}
    assert folders - KNOWS.keys() == {"commands"}


def test_no_type_is_named_outside_the_catalog() -> None:
    """Code for a single type is a fact in the wrong place: the next type would need code, not an entry."""
    modules = [path for path in sorted(PACKAGE.rglob("*.py")) if not MAY_NAME_TYPES & {room_of(path), str(path.relative_to(PACKAGE))}]
    assert modules
    found = {str(path.relative_to(PACKAGE)): named_types(path.read_text()) for path in modules}
    assert {name: types for name, types in found.items() if types} == {}


@pytest.mark.parametrize(
    ("room", "source", "found"),
    [
        ("warehouse", "from stripe_assets.sync.engine import Mirror", {"sync"}),
        ("warehouse", "def late():\n    import stripe_assets.api.client", {"api"}),
        ("sync", "import dagster as dg", {"dagster"}),
        ("simulator", "from stripe_assets.errors import Missing", {"errors"}),
        ("simulator", "from stripe_assets import errors", {"errors"}),
        ("sync", "from stripe_assets.warehouse import load\nimport duckdb", set()),
    ],
)
def test_forbidden_import_is_seen_in_every_form(room: str, source: str, found: set[str]) -> None:
    """A watch that sees nothing is as quiet as one that finds nothing."""
    assert strangers(room, source) == found


def test_type_in_a_comparison_is_seen() -> None:
    assert named_types('if kind.name == "charges": skip("charges of today")') == {"charges"}
