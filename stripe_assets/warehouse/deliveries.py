"""What the sync hands over to be stored, and the progress each of it stands for.

A delivery is stored in one transaction with its progress, in the order in which it was submitted.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import msgspec

from stripe_assets.catalog.types import ObjectType


@dataclass(frozen=True, slots=True)
class SliceRange:
    """A stretch of `created` time in seconds since 1970, read by one cursor: from `gte` up to but not including `lt`."""

    number: int
    gte: int | None = None
    lt: int | None = None


@dataclass(frozen=True, slots=True)
class SliceProgress:
    """One slice has been read as far as `cursor`, or to its end; `ranges` are all slices of the list at that moment.

    `newest` is when the list's first object was created, where this page is the one that tells. `part` is 0 for the list
    itself, and counts the times that it is read once more with other parameters.
    """

    ranges: tuple[SliceRange, ...]
    number: int
    cursor: str | None
    done: bool
    newest: int | None = None
    part: int = 0


@dataclass(frozen=True, slots=True)
class PendingProgress:
    """A pending request has been answered: as far as `cursor` of its list, or for good.

    `number` is the note's; none for a request that was made before its note was stored: then it is found by its object.
    `missing`: Stripe has nothing there to be asked, which says nothing about the rows that are known.
    """

    number: int | None
    kind: ObjectType
    purpose: str
    object_id: str
    cursor: str | None = None
    done: bool = True
    missing: bool = False


@dataclass(frozen=True, slots=True)
class Objects:
    """Objects of one type as they were read at `read_at` (seconds since 1970)."""

    kind: ObjectType
    objects: tuple[msgspec.Raw, ...]
    read_at: float
    progress: SliceProgress | PendingProgress | None = None
    parent_id: str | None = None

    @property
    def weight(self) -> int:
        """The size of the JSON in bytes."""
        return sum(len(raw) for raw in self.objects)


@dataclass(frozen=True, slots=True)
class Changes:
    """Events that tell what changed; they are applied by `Writer.apply_changes` once all of a window are stored.

    `since`: the objects that they are wanted about, each with the time (seconds) from which on.
    """

    events: tuple[msgspec.Raw, ...]
    weight: int
    since: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Gone:
    """An object that was asked for by its id does not exist any more."""

    kind: ObjectType
    object_id: str
    read_at: float
    progress: PendingProgress
    weight: int = 100


@dataclass(frozen=True, slots=True)
class ListDone:
    """A list has been read to its end `at` a time (seconds); `created_from` is when its newest object was created, where that is news.

    After a `whole` list, and not only what is new of it, what the mirror had before it was begun, and it no longer gave, is gone;
    but not what was not asked for: what is from before the time that it was read since, and what has a value in the column `spare`.
    """

    kind: ObjectType
    created_from: int | None
    whole: bool
    at: float
    spare: str | None = None
    weight: int = 100


Delivery = Objects | Changes | Gone | ListDone
