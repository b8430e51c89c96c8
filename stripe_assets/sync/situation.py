"""What a sync finds: how it will go about each type, and what is known of the type's objects.

Only words for it. Where the numbers come from: `known` reads them in the mirror, `probe` asks the account; what follows from
them is reckoned in `forecast`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from stripe_assets.catalog.types import Fresh, ObjectType
from stripe_assets.sync.figures import Figure, total

ONE = Figure(1)
NONE = Figure(0)


class Way(StrEnum):
    """How a sync goes about a type."""

    WHOLE = "whole"
    REST = "rest"  # what an interrupted first reading has left
    CATCH_UP = "catch-up"
    REFUSED = "refused"  # the key may not read it, or the account does not have it


@dataclass(frozen=True, slots=True)
class Turn:
    """What happened to a type in a stretch of time.

    `new` objects were created, `changed` ones have events that tell of them, and of these some are to be read `again` one by one.
    """

    new: Figure = NONE
    changed: Figure = NONE
    again: Figure = NONE


@dataclass(frozen=True, slots=True)
class Numbers:
    """What is known of a type's objects.

    `readings` are the objects that each reading of the list gives (there is more than one with `also_with`; none: nobody knows);
    `stored` how many of them an interrupted reading has kept, `noted` the requests that one has left. `open` are the known
    objects that a catch-up reads again with the list, because one of them may still change. `asks` is for children: requests
    a parent, on average; `cut` the share of the parents whose embedded list goes on. `since` the last sync, in a `day`.
    """

    readings: tuple[Figure, ...] | None = None
    stored: int = 0
    noted: int = 0
    open: Figure = NONE
    asks: Figure = ONE
    cut: Figure = NONE
    since: Turn = Turn()
    day: Turn = Turn()
    refusal: str | None = None

    @property
    def rows(self) -> Figure | None:
        """All objects of the type."""
        return total(list(self.readings)) if self.readings is not None else None


@dataclass(frozen=True, slots=True)
class Situation:
    """What a sync of these types finds. `events` happened since the last one (none: the key may not read events)."""

    kinds: Sequence[ObjectType]
    ways: Mapping[str, Way]
    numbers: Mapping[str, Numbers]
    events: Figure | None
    events_a_day: Figure = NONE

    def of(self, name: str) -> ObjectType:
        """Find a type by its name."""
        return next(kind for kind in self.kinds if kind.name == name)

    def is_unknown(self, kind: ObjectType) -> bool:
        """Say whether a type is to be read whole without anybody knowing how much that is."""
        return self.ways.get(kind.name) in (Way.WHOLE, Way.REST) and self.numbers[kind.name].readings is None

    def but(self, name: str, **changes: Any) -> "Situation":
        """Give the same with other numbers of one type."""
        return replace(self, numbers={**self.numbers, name: replace(self.numbers[name], **changes)})

    def asked_below(self, kind: ObjectType) -> "Situation":
        """Give the same with a type's list asked for parent by parent."""
        return replace(self, kinds=tuple(kind if one.name == kind.name else one for one in self.kinds))

    def refused(self, kind: ObjectType, why: str) -> "Situation":
        """Give the same with a type that may not be read."""
        return replace(self.but(kind.name, refusal=why, readings=None), ways={**self.ways, kind.name: Way.REFUSED})

    def nightly(self) -> "Situation":
        """Give what a sync finds a day after everything was read. Without events most types are read whole each time."""
        lasting = {name: way for name, way in self.ways.items() if way is Way.REFUSED}
        blind = self.events is None
        ways = {kind.name: Way.WHOLE if blind and kind.fresh is not Fresh.CREATED else Way.CATCH_UP for kind in self.kinds}
        numbers = {name: replace(one, since=one.day, stored=0, noted=0) for name, one in self.numbers.items()}
        return replace(self, ways=ways | lasting, numbers=numbers, events=None if blind else self.events_a_day)
