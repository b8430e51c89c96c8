"""Writes values for people to look at, where they differ: short, and nothing that is private.

What is private is decided in `private`.
"""

import json
from typing import Any

import msgspec

from stripe_assets.catalog.types import Kind, ObjectType
from stripe_assets.warehouse.agreement import Apart
from stripe_assets.warehouse.private import Private

HIDDEN = "(private)"
"""Stands for a value of a column that is private, or has private fields."""
LONGEST = 60
"""Letters of a value that are shown."""


def shown(apart: Apart, kind: ObjectType, private: Private) -> tuple[str, str, str]:
    """Give the column, down to the field inside of it that differs, and the two values as text."""
    name = apart.column.name
    if any(name in private.trees.get(object_name, {}) for object_name in kind.objects):
        return name, HIDDEN, HIDDEN
    if apart.column.kind is not Kind.JSON:
        return name, _short(apart.ours), _short(apart.theirs)
    ours, theirs = (_cleaned(text, name, kind, private) for text in (apart.ours, apart.theirs))
    if ours == theirs:
        return name, HIDDEN, HIDDEN
    path, mine, other = _first_difference(name, ours, theirs)
    return path, _short(mine), _short(other)


def _cleaned(text: str | None, name: str, kind: ObjectType, private: Private) -> Any:
    """Take out of a column's JSON what is private in the objects that it contains: it may have been stored before that was."""
    whole = msgspec.Raw(json.dumps({"object": kind.object, name: json.loads(text or "null")}).encode())
    cleaned = json.loads(bytes(private.clean(whole, kind.object)))
    return cleaned.get(name, HIDDEN) if isinstance(cleaned, dict) else HIDDEN


def _first_difference(path: str, ours: Any, theirs: Any) -> tuple[str, Any, Any]:
    """Go down to the first place where two values differ."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        for key in sorted(ours.keys() | theirs.keys()):
            if ours.get(key) != theirs.get(key):
                return _first_difference(f"{path}.{key}", ours.get(key), theirs.get(key))
    if isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        for place, (mine, other) in enumerate(zip(ours, theirs, strict=True)):
            if mine != other:
                return _first_difference(f"{path}[{place}]", mine, other)
    return path, ours, theirs


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"
