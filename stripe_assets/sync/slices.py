"""How a list is cut into slices of `created` time, each read by its own cursor, newest first.

Pure decisions; reading belongs in `lists`. The slices of a list always cover all of time between them, so that no
guess about where its objects lie can lose one.
"""

from dataclasses import dataclass

from stripe_assets.api.answers import Page
from stripe_assets.warehouse.deliveries import SliceRange

PAGE = 100
"""Objects on a page: Stripe's most."""
WORTH_SPLITTING = 6.0
"""Pages that a slice must still expect. Every slice ends with a page that is half empty on average: the price of one."""
PAGES_PER_SLICE = 20.0
"""So many pages of the list pay for one slice: half a page in twenty keeps the waste at 2.5%."""
BLIND_LEAP = 8
"""Where nobody knows how far back a list goes: pages ahead at which to start a second cursor."""
BEFORE_LEAPING = 5
"""Pages that a list must have shown before that, because the leap costs a request if it lands beyond its end."""


@dataclass(slots=True)
class Slice:
    """A stretch of `created` time from `gte` up to but not including `lt` (seconds; none: open), and how far it is read."""

    number: int
    gte: int | None = None
    lt: int | None = None
    cursor: str | None = None
    done: bool = False
    expected: float = 1.0
    seen: int = 0
    newest: int | None = None
    oldest: int | None = None
    resume_lt: int | None = None

    @property
    def range(self) -> SliceRange:
        """The stretch alone."""
        return SliceRange(self.number, self.gte, self.lt)

    def window(self) -> dict[str, int]:
        """Give what is left of the stretch as query parameters, in seconds."""
        bounds = {"created[gte]": self.gte, "created[lt]": self.lt if self.resume_lt is None else self.resume_lt}
        return {name: bound for name, bound in bounds.items() if bound is not None}

    def advance(self, page: Page) -> None:
        """Take note of a page. The slice is done at the list's end, or once an object lies below its stretch.

        That one may belong to the slice below, which was split off while this page was on its way.
        """
        self.seen += len(page.objects)
        if page.last is None or page.first is None:
            self.done = True
            return
        self.cursor = page.cursor
        self.newest = self.newest if self.newest is not None else page.first.created
        self.oldest = page.last.created
        below = self.gte is not None and self.oldest is not None and self.oldest < self.gte
        self.done = not page.has_more or below

    def pages_left(self, bottom: int | None) -> float:
        """Estimate the pages still to come from how dense the objects have been; `bottom` is where the list may end."""
        if self.done:
            return 0.0
        if self.newest is None or self.oldest is None:
            return self.expected
        floor = self.gte if self.gte is not None else bottom
        if floor is None:
            return float(BLIND_LEAP * 2) if self.seen >= BEFORE_LEAPING * PAGE else 1.0
        return max(1.0, self._density() * max(0, self.oldest - floor) / PAGE)

    def split(self, number: int, bottom: int | None) -> "Slice | None":
        """Cut what is left in two and give the older half to a new slice; none where time cannot be cut any further."""
        if self.done or self.oldest is None or self.newest is None:
            return None
        floor = self.gte if self.gte is not None else bottom
        middle = self.oldest - int(BLIND_LEAP * PAGE / self._density()) if floor is None else floor + (self.oldest - floor) // 2
        if middle >= self.oldest or (floor is not None and middle <= floor):
            return None
        older = Slice(number, gte=self.gte, lt=middle, expected=max(1.0, self.pages_left(bottom) / 2))
        self.gte = middle
        return older

    def lose_cursor(self) -> None:
        """Go on without the object that the next page was to start after: from its second on, which gives some twice.

        The stretch stays what it was: what lies above may not be stored yet.
        """
        self.cursor = None
        if self.oldest is not None:
            self.resume_lt = self.oldest + 1

    def _density(self) -> float:
        """Objects per second of `created` time."""
        assert self.newest is not None and self.oldest is not None
        return max(1, self.seen) / max(1, self.newest - self.oldest)


def busiest(slices: list[Slice], bottom: int | None) -> Slice | None:
    """Choose the slice to split: the one that expects most pages, if that is worth it and the list can afford another."""
    left = {piece.number: piece.pages_left(bottom) for piece in slices}
    pages = sum(piece.seen for piece in slices) / PAGE + sum(left.values())
    if len(slices) >= 1 + pages / PAGES_PER_SLICE:
        return None
    most = max(slices, key=lambda piece: left[piece.number])
    return most if left[most.number] >= WORTH_SPLITTING else None
