"""Values that differ are shown shortly, down to the place, and never what is private."""

import json
from typing import Any

import pytest

from stripe_assets.catalog.types import load
from stripe_assets.warehouse.agreement import Apart
from stripe_assets.warehouse.private import NOTHING_PRIVATE, Private, private
from stripe_assets.warehouse.showing import HIDDEN, LONGEST, shown

CATALOG = load()


def show(name: str, column: str, ours: Any, theirs: Any, chosen: Private = NOTHING_PRIVATE) -> tuple[str, str, str]:
    kind = CATALOG[name]
    found = next(each for each in kind.columns if each.name == column)
    return shown(Apart(found, ours, theirs), kind, chosen)


@pytest.mark.parametrize(
    ("ours", "theirs", "expected"),
    [
        ({"a": {"b": 1, "c": 2}}, {"a": {"b": 1, "c": 3}}, ("metadata.a.c", "2", "3")),
        ({"a": [1, {"b": 2}]}, {"a": [1, {"b": None}]}, ("metadata.a[1].b", "2", "null")),
        ({"a": [1]}, {"a": [1, 2]}, ("metadata.a", "[1]", "[1, 2]")),
        (None, {"a": 1}, ("metadata", "null", '{"a": 1}')),
    ],
)
def test_place_inside_of_json_is_shown(ours: Any, theirs: Any, expected: tuple[str, str, str]) -> None:
    texts = [json.dumps(value) if value is not None else None for value in (ours, theirs)]
    assert show("customers", "metadata", *texts) == expected


def test_long_value_is_cut() -> None:
    _, ours, theirs = show("customers", "description", "a" * 500, "b")
    assert (len(ours), theirs) == (LONGEST, "b")


def test_private_value_of_another_object_inside_is_not_shown() -> None:
    """An event holds a whole customer, from before somebody said that addresses are private."""
    chosen = private(CATALOG, exclude=["customers.email"], hashed=[], key="")
    ours, theirs = (
        json.dumps({"object": {"object": "customer", "email": email, "name": name}}) for email, name in (("a@b.c", "A"), ("d@e.f", "B"))
    )
    assert show("events", "data", ours, theirs, chosen) == ("data.object.name", "A", "B")
    only = json.dumps({"object": {"object": "customer", "email": "d@e.f", "name": "A"}})
    assert show("events", "data", ours, only, chosen) == ("data", HIDDEN, HIDDEN)
