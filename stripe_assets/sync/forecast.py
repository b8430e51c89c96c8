"""Says what a sync will ask for before it asks: requests by type, the shortest possible time, the share of Stripe's allotment.

Pure decisions over numbers; what they are and where they come from stands in `situation`.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from stripe_assets.catalog.allocation import LEAST_READS, NOT_COUNTED, READS_PER_TRANSACTION
from stripe_assets.catalog.types import Form, Fresh, ObjectType, Paging
from stripe_assets.limits.limiter import Limits
from stripe_assets.sync.changes import EVENTS, OVERLAP
from stripe_assets.sync.figures import Figure, Sure, likely, total
from stripe_assets.sync.situation import NONE, ONE, Situation, Way
from stripe_assets.sync.slices import PAGE, PAGES_PER_SLICE, WORTH_SPLITTING
from stripe_assets.warehouse.ledger import TypeResult

DAY = 86_400
OWN = ("GET /v1/account", EVENTS.endpoint)
"""What every run asks for itself: whose key it is, and which event is the newest."""
WORTH_NAMING = 3
"""Types that a comparison names, those that were furthest off first."""


@dataclass(frozen=True, slots=True)
class TypeForecast:
    """What one type will take; `seconds` at least, were it alone. `reason` says why it is refused."""

    type: str
    way: Way
    rows: Figure | None
    requests: Figure
    seconds: float
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Forecast:
    """What a sync will take. `endpoints` has all its requests, those for no type too; `seconds` is the shortest possible time."""

    types: tuple[TypeForecast, ...]
    endpoints: Mapping[str, Figure] = field(repr=False)
    seconds: float

    @property
    def requests(self) -> Figure:
        """All requests."""
        return total(list(self.endpoints.values()))

    @property
    def allotted_reads(self) -> Figure:
        """The requests that Stripe counts towards what it allots."""
        return total([figure for name, figure in self.endpoints.items() if not name.removeprefix("GET ").startswith(NOT_COUNTED)])


@dataclass(frozen=True, slots=True)
class Apart:
    """A type whose requests were not as many as forecast."""

    type: str
    forecast: int
    made: int


@dataclass(frozen=True, slots=True)
class Comparison:
    """A forecast beside what was made of it; `apart` are the types that were furthest off."""

    forecast: int
    sure: Sure
    made: int
    apart: tuple[Apart, ...]

    @property
    def sentence(self) -> str:
        """The comparison in words."""
        words = "at least " if self.sure is Sure.AT_LEAST else "about " if self.sure is Sure.ESTIMATED else ""
        named = ", ".join(f"{one.type} {one.made:,} instead of {one.forecast:,}" for one in self.apart)
        return f"{self.made:,} requests, {words}{self.forecast:,} were forecast{f' ({named})' if named else ''}"


def forecast(situation: Situation, limits: Limits) -> Forecast:
    """Forecast a sync, and what happens while it lasts: its end reads that too."""
    asked = {kind.name: _asked(kind, situation) for kind in situation.kinds}
    own = dict.fromkeys(OWN, ONE)
    if situation.events is not None:
        lasts = (_shortest(_sum([*asked.values(), own]), limits) + OVERLAP) / DAY
        pages = (situation.events + likely(situation.events_a_day * lasts)).pages(PAGE)
        told = next((asked[kind.name] for kind in situation.kinds if kind.path == EVENTS.path), own)
        told[EVENTS.endpoint] = told.get(EVENTS.endpoint, NONE) + pages
        for kind in situation.kinds:
            if situation.ways[kind.name] in (Way.WHOLE, Way.REST) and kind.retrieve_path is not None:
                asked[kind.name][kind.retrieve_endpoint] = likely(situation.numbers[kind.name].day.changed * lasts)
    endpoints = _sum([*asked.values(), own])
    types = tuple(_of_type(kind, situation, asked[kind.name], limits) for kind in situation.kinds)
    return Forecast(types, endpoints, _shortest(endpoints, limits))


def _of_type(kind: ObjectType, situation: Situation, asked: Mapping[str, Figure], limits: Limits) -> TypeForecast:
    numbers = situation.numbers[kind.name]
    requests = total(list(asked.values()))
    return TypeForecast(kind.name, situation.ways[kind.name], numbers.rows, requests, _shortest(asked, limits), numbers.refusal)


def compare(expected: Forecast, results: Iterable[TypeResult], *, requests: int) -> Comparison:
    """Set a forecast beside how the sync ended: the results of its types, and all `requests` that it made."""
    made = {result.type: result.requests for result in results}
    pairs = [Apart(one.type, one.requests.whole, made[one.type]) for one in expected.types if one.type in made]
    apart = sorted((one for one in pairs if one.made != one.forecast), key=lambda one: -abs(one.made - one.forecast))
    return Comparison(expected.requests.whole, expected.requests.sure, requests, tuple(apart[:WORTH_NAMING]))


def allotment(transactions: Figure) -> Figure:
    """Say how many reads Stripe allots in 30 days to an account with so many transactions in them."""
    earned = transactions * READS_PER_TRANSACTION
    return earned if earned.value > LEAST_READS else Figure(LEAST_READS, earned.sure if earned.sure is Sure.AT_LEAST else Sure.COUNTED)


def _asked(kind: ObjectType, situation: Situation) -> dict[str, Figure]:
    """Forecast the requests for a type by endpoint, all but what is asked for because of events that happen meanwhile."""
    numbers = situation.numbers[kind.name]
    match situation.ways[kind.name]:
        case Way.REFUSED:
            return {kind.endpoint: ONE if kind.parent is None or situation.ways[kind.parent.type] is not Way.REFUSED else NONE}
        case Way.CATCH_UP:
            return _caught_up(kind, situation)
        case Way.REST if numbers.noted and kind.parent is not None:
            return {kind.endpoint: Figure(numbers.noted)}
    listed = _children(kind, situation, situation.numbers[kind.parent.type].rows) if kind.parent else _whole_list(kind, situation)
    told = situation.events is not None and kind.path == EVENTS.path
    # What was created while the list was read: by one more page of it, where events do not tell.
    after = ONE if kind.parent is None and kind.fresh is Fresh.CREATED and not told else NONE
    return {kind.endpoint: listed + after}


def _caught_up(kind: ObjectType, situation: Situation) -> dict[str, Figure]:
    numbers = situation.numbers[kind.name]
    asked = {kind.endpoint: NONE}
    if kind.retrieve_path is not None:
        asked[kind.retrieve_endpoint] = numbers.since.again + Figure(numbers.noted)
    if kind.parent is not None:
        if kind.fresh in (Fresh.REFRESH, Fresh.CREATED):
            asked[kind.endpoint] = _children(kind, situation, situation.numbers[kind.parent.type].rows)
        elif kind.fresh is Fresh.PARENT or kind.parent.embedded:
            asked[kind.endpoint] = _children(kind, situation, _touched(situation.of(kind.parent.type), situation))
    elif kind.fresh is Fresh.REFRESH:
        asked[kind.endpoint] = _whole_list(kind, situation)
    elif kind.fresh is Fresh.CREATED and not (kind.path == EVENTS.path and situation.events is not None):
        asked[kind.endpoint] = (numbers.open + numbers.since.new).pages(PAGE)
    return asked


def _touched(kind: ObjectType, situation: Situation) -> Figure | None:
    """Say how many objects of a type a catch-up finds new or changed; none where nobody knows."""
    numbers = situation.numbers[kind.name]
    match kind.fresh:
        case Fresh.EVENTS:
            return numbers.since.changed
        case Fresh.CREATED:
            return numbers.since.new
        case Fresh.REFRESH:
            return numbers.rows
    assert kind.parent is not None
    parents, all_parents = _touched(situation.of(kind.parent.type), situation), situation.numbers[kind.parent.type].rows
    if parents is None or numbers.rows is None or all_parents is None:
        return None
    return parents * numbers.rows * (1 / max(1.0, all_parents.value))


def _whole_list(kind: ObjectType, situation: Situation) -> Figure:
    numbers = situation.numbers[kind.name]
    if kind.form is Form.SINGLE or kind.paging is Paging.NONE:
        return NONE if kind.endpoint in OWN else ONE  # the run has asked for it anyway
    if numbers.readings is None:
        return Figure(1 + len(kind.also_with), Sure.AT_LEAST)
    first, *further = numbers.readings
    left = replace(first, value=max(0.0, first.value - numbers.stored)) if situation.ways[kind.name] is Way.REST else first
    pages = total([_with_slices(kind, left.pages(PAGE)), *(rows.pages(PAGE) for rows in further)])
    if kind.hidden_under is not None and kind.hidden_under.type in situation.numbers:
        pages += situation.numbers[kind.hidden_under.type].rows or Figure(0, Sure.AT_LEAST)
    return pages


def _with_slices(kind: ObjectType, pages: Figure) -> Figure:
    """Add what reading by several cursors wastes: the last page of each slice is half empty on average."""
    if not kind.created_filter or pages.value < WORTH_SPLITTING:
        return pages
    return replace(pages, value=pages.value + (pages.value // PAGES_PER_SLICE + 1) / 2)


def _children(kind: ObjectType, situation: Situation, parents: Figure | None) -> Figure:
    """Forecast the requests for the children of so many parents: one for each that can have any, or whose list is cut short."""
    assert kind.parent is not None
    numbers = situation.numbers
    if parents is None:
        return Figure(0, Sure.AT_LEAST)
    if kind.parent.embedded:
        return parents * numbers[kind.name].cut
    needed = numbers[kind.parent.needs].rows if kind.parent.needs is not None else ONE
    if needed == NONE:
        return NONE
    asked = parents * numbers[kind.name].asks
    for each in kind.parent.each.values():
        asked *= numbers[each].rows or Figure(0, Sure.AT_LEAST)
    return asked


def _sum(parts: Sequence[Mapping[str, Figure]]) -> dict[str, Figure]:
    names = dict.fromkeys(name for part in parts for name in part)
    return {name: total([part[name] for part in parts if name in part]) for name in names}


def _shortest(endpoints: Mapping[str, Figure], limits: Limits) -> float:
    """Give the shortest possible time in seconds: as fast as the account's limit allows, or the busiest endpoint's."""
    every = sum(figure.value for figure in endpoints.values())
    most = max((figure.value for figure in endpoints.values()), default=0.0)
    return max(every / limits.account if limits.account else 0.0, most / limits.endpoint if limits.endpoint else 0.0)
