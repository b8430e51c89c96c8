"""Notices what typed columns cannot hold: fields that the description does not know, and values of another type.

DuckDB says nothing of either, and turns "12.7" into 13 and true into 1. So every object is read once more before it is
loaded, into a structure that takes nothing but what is described: 2 microseconds a charge where all is well (measured
2026-11), of which no other thread is kept waiting. Only what does not fit is looked at field by field. A key that an object
has twice has no meaning in JSON: DuckDB takes the first, `_raw` has both.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from operator import attrgetter
from typing import Annotated, Any, Self

import msgspec

from stripe_assets.catalog.types import Column, Kind
from stripe_assets.warehouse.conversions import FARTHEST

UNKNOWN, MISFIT = "unknown field", "value of another type"
"""What `Misfit.change` says."""
MOST_STRANGERS = 100
"""Unknown fields of a type that are read as if they were described. Keys that are different in every object stay strangers."""
AS_TEXT = (Kind.TEXT, Kind.ID)
"""What takes a value of any type, as its JSON text."""

NOTHING = msgspec.Raw(b"")
"""Stands for a field that an object does not have."""
Text = bytes | memoryview | msgspec.Raw
"""An object's JSON."""


class _Reference(msgspec.Struct, gc=False):
    id: str


Moment = Annotated[datetime, msgspec.Meta(tz=True)]
FITTING: dict[Kind, Any] = {
    Kind.TEXT: str | None,
    Kind.INTEGER: Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)] | None,
    Kind.NUMBER: float | None,
    Kind.BOOLEAN: bool | None,
    Kind.TIMESTAMP: Annotated[int, msgspec.Meta(ge=-FARTHEST, le=FARTHEST)] | None,
    Kind.TIMESTAMP_TEXT: Moment | None,
    Kind.ID: str | _Reference | None,
    Kind.JSON: msgspec.Raw,
}
"""What a column of each kind takes."""
MOST = {Kind.INTEGER: 2**53 - 1, Kind.TIMESTAMP: FARTHEST}
"""What a column takes of numbers that are written as 5.0 or 1e3: from 2**53 on it cannot be known whether one is whole."""


@dataclass(frozen=True, slots=True)
class Misfit:
    """Something that came `count` times and has no place in the columns, with the id of one object that had it."""

    column: str
    change: str
    count: int
    example_id: str | None

    def __add__(self, other: Self) -> "Misfit":
        """Count the same of two chunks together."""
        return Misfit(self.column, self.change, self.count + other.count, other.example_id or self.example_id)


@dataclass(slots=True)
class Found:
    """What a chunk of objects has besides what fits: by their place in the chunk.

    `wrong` are the objects whose value of a column must not stay in it. `remains` are the objects of which something is in no
    column.
    """

    misfits: list[Misfit] = field(default_factory=list)
    wrong: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
    remains: list[int] = field(default_factory=list)


class Fitting:
    """Holds one type's objects against its columns, and remembers the fields that it does not know."""

    def __init__(self, columns: Iterable[Column]) -> None:
        """Know only these columns."""
        self._kinds = {column.name: column.kind for column in columns}
        self._strangers: dict[str, Callable[[object], msgspec.Raw]] = {}
        self._decode = self._decoder()

    def check(self, objects: Sequence[Text]) -> Found:
        """Find what does not fit. What is no JSON object has nothing that could: it becomes no row."""
        found, counts = Found(), defaultdict[tuple[str, str], list[int]](list)
        for turn, text in enumerate(objects):
            try:
                known = self._decode(text)
            except msgspec.ValidationError:
                self._look_at(text, turn, found, counts)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                found.remains.append(turn)
            else:
                for name, of in self._strangers.items():
                    if (value := of(known)) is not NOTHING:
                        counts[name, UNKNOWN].append(turn)
                        if bytes(value) != b"null":
                            found.remains.append(turn)
        found.misfits = [Misfit(*what, len(turns), _id(objects[turns[0]])) for what, turns in sorted(counts.items())]
        return found

    def _look_at(self, text: Text, turn: int, found: Found, counts: dict[tuple[str, str], list[int]]) -> None:
        """Find out which fields of an object do not fit."""
        try:
            fields = _fields.decode(text)
        except msgspec.DecodeError:
            return
        unknown = {name for name in fields if name not in self._kinds}
        misfit = {name for name in fields.keys() - unknown if not _fits(self._kinds[name], fields[name])}
        for name in unknown:
            counts[name, UNKNOWN].append(turn)
            self._meet(name)
        for name in misfit:
            counts[name, MISFIT].append(turn)
            if self._kinds[name] not in AS_TEXT:
                found.wrong[name].append(turn)
        if misfit or not unknown or any(bytes(fields[name]) != b"null" for name in unknown):
            found.remains.append(turn)  # if nothing was found, it must be in a key that is there twice

    def _meet(self, name: str) -> None:
        """Read an unknown field as if it were described from now on: it comes with every further object, as a rule.

        Quotes and the like are not allowed in names there, and not to be expected of Stripe.
        """
        if name.isidentifier() and name not in self._strangers and len(self._strangers) < MOST_STRANGERS:
            self._strangers[name] = attrgetter(f"stranger_{len(self._strangers)}")
            self._decode = self._decoder()

    def _decoder(self) -> Any:
        known = [(f"column_{number}", name, FITTING[kind]) for number, (name, kind) in enumerate(self._kinds.items())]
        strangers = [(f"stranger_{number}", name, msgspec.Raw) for number, name in enumerate(self._strangers)]
        described = msgspec.defstruct(
            "Described",
            [(own, takes, NOTHING if takes is msgspec.Raw else None) for own, _, takes in (*known, *strangers)],
            rename={own: name for own, name, _ in (*known, *strangers)},
            forbid_unknown_fields=True,
            gc=False,
        )
        return msgspec.json.Decoder(described).decode


class _Named(msgspec.Struct, gc=False):
    id: str | None = None


_fields = msgspec.json.Decoder(dict[str, msgspec.Raw])
_named = msgspec.json.Decoder(_Named)
_fitting = {kind: msgspec.json.Decoder(takes) for kind, takes in FITTING.items()}
_numbers = msgspec.json.Decoder(float)


def _fits(kind: Kind, value: msgspec.Raw) -> bool:
    try:
        _fitting[kind].decode(value)
    except msgspec.DecodeError:
        return kind in MOST and _is_whole(value, most=MOST[kind])
    return True


def _is_whole(value: msgspec.Raw, *, most: int) -> bool:
    """Whether a number is whole although it is written as 5.0 or 1e3, and not beyond `most`."""
    try:
        number = _numbers.decode(value)
    except msgspec.DecodeError:
        return False
    return number.is_integer() and abs(number) <= most


def _id(text: Text) -> str | None:
    try:
        return _named.decode(text).id
    except msgspec.DecodeError:
        return None
