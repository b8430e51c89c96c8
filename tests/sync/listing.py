"""A list as Stripe pages it, and a reader of it by slices, one small step at a time: for properties over all histories."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import msgspec

from stripe_assets.api.answers import Page, Stub
from stripe_assets.sync.slices import Slice
from stripe_assets.warehouse.deliveries import SliceProgress

FEW = 3
"""Objects on a page: small, so that short histories have many pages."""


@dataclass
class Listing:
    """Objects by `created`, newest first; an object's id is its place in `times`, and deleted ones are no cursors."""

    times: list[int]
    deleted: set[str] = field(default_factory=set)

    @property
    def living(self) -> list[str]:
        """Every present id, in Stripe's order."""
        order = sorted(range(len(self.times)), key=lambda place: (-self.times[place], place))
        return [str(place) for place in order if str(place) not in self.deleted]

    def page(self, gte: int | None, lt: int | None, cursor: str | None) -> Page | None:
        """Answer a request; none where the cursor is gone."""
        if cursor in self.deleted:
            return None
        ids = [name for name in self.living if (gte is None or self.created(name) >= gte) and (lt is None or self.created(name) < lt)]
        if cursor is not None:
            after = self.living.index(cursor)
            ids = [name for name in ids if self.living.index(name) > after]
        stubs = [Stub(name, self.created(name)) for name in ids[:FEW]]
        objects = tuple(msgspec.Raw(msgspec.json.encode(stub)) for stub in stubs)
        return Page(objects, len(ids) > FEW, stubs[0] if stubs else None, stubs[-1] if stubs else None)

    def created(self, name: str) -> int:
        """Say when an object was created."""
        return self.times[int(name)]


@dataclass
class Delivered:
    """What one page brought."""

    number: int
    ids: set[str]
    progress: SliceProgress


class Reading:
    """Slices that read a listing. Requests are on their way for a while: a slice may be split meanwhile."""

    def __init__(self, listing: Listing, slices: list[Slice], *, bottom: int | None) -> None:
        self.listing = listing
        self.slices = slices
        self.bottom = bottom
        self.requests = 0
        self._on_the_way: dict[int, Page | None] = {}

    @property
    def over(self) -> bool:
        """Whether every slice is done."""
        return all(piece.done for piece in self.slices)

    def step(self, choice: int) -> Delivered | None:
        """Ask or be answered, for one of the slices that are not done."""
        unfinished = [piece for piece in self.slices if not piece.done]
        if not unfinished:
            return None
        piece = unfinished[choice % len(unfinished)]
        if piece.number not in self._on_the_way:
            window = piece.window()
            bounds = [int(window[name]) if name in window else None for name in ("created[gte]", "created[lt]")]
            self._on_the_way[piece.number] = self.listing.page(*bounds, piece.cursor)
            self.requests += 1
            return None
        page = self._on_the_way.pop(piece.number)
        if page is None:
            piece.lose_cursor()
            return None
        piece.advance(page)
        ids = {msgspec.json.decode(raw, type=Stub).id for raw in page.objects}
        ranges = tuple(one.range for one in self.slices)
        return Delivered(piece.number, ids, SliceProgress(ranges, piece.number, piece.cursor, piece.done))

    def split(self, choice: int) -> None:
        """Split some slice, if it can be."""
        older = self.slices[choice % len(self.slices)].split(len(self.slices), self.bottom)
        if older is not None:
            self.slices.append(older)

    def rest(self) -> Iterator[Delivered]:
        """Read on to the end; more steps than any list of this size can need are an error."""
        for turn in range(20 * (len(self.listing.times) + 5) * len(self.slices)):
            if self.over:
                return
            if (delivered := self.step(turn)) is not None:
                yield delivered
        raise AssertionError("this reading does not come to an end")


def gaps(ranges: list[tuple[int | None, int | None]]) -> list[tuple[int | None, int | None]]:
    """Name the stretches of time that lie in none of these ranges (from, up to but not including); none: they cover all."""
    found = []
    low: int | None = None
    for index, (gte, lt) in enumerate(sorted(ranges, key=lambda each: -(1 << 60) if each[0] is None else each[0])):
        if index == 0:
            if gte is not None:
                found.append((None, gte))
        elif low is None or (gte is not None and gte > low):
            found.append((low, gte))
        low = lt if index == 0 or low is None or (lt is not None and lt > low) else low
        if lt is None:
            return found
    return [*found, (low, None)]
