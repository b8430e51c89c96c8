"""What is known about an object by its name, whether the story tells of it (`shapes`) or a sample (`samples`)."""

from typing import Any

from stripe_assets.simulator import samples, shapes
from stripe_assets.simulator.store import Record

_STORY = frozenset(shapes.KINDS)


def known(name: str) -> bool:
    """Say whether there is such an object."""
    return name in _STORY or name in samples.names()


def form(name: str) -> dict[str, Any]:
    """Give the fields that an object has unless it says otherwise; shared, so never change it."""
    return shapes.template(name) if name in _STORY else samples.form(name)


def expandable(name: str) -> dict[str, list[str]]:
    """Give the fields that hold ids of other objects, with the objects they may name."""
    return shapes.expandable(name) if name in _STORY else samples.links(name)


def object_name(record: Record) -> str:
    """Give what an object calls itself."""
    name: str = record.fields.get("object", record.kind)
    return name


def has_stub(record: Record) -> bool:
    """Say whether it is still answered as a stub after it was deleted."""
    name = object_name(record)
    return shapes.has_stub(name) if name in _STORY else samples.has_stub(name)
