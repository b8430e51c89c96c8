"""Says what a sync will ask for before it asks: requests by type, the shortest possible time, the share of Stripe's allotment.

Pure decisions over numbers. Where these come from: `known` reads them in the mirror, `probe` asks the account.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from stripe_assets.catalog.allocation import LEAST_READS, NOT_COUNTED, READS_PER_TRANSACTION
from stripe_assets.catalog.types import Form, Fresh, ObjectType, Paging
from stripe_assets.limits.limiter import Limits
from stripe_assets.sync.changes import EVENTS
from stripe_assets.sync.figures import Figure, Sure, total
from stripe_assets.sync.slices import PAGE, PAGES_PER_SLICE, WORTH_SPLITTING
from stripe_assets.warehouse.stretches import is_listed, is_read_singly_or_listed

OWN = ("GET /v1/account", EVENTS.endpoint)
"""What every run asks for itself: whose key it is, and which event is the newest."""
LIE_WITHIN = 20
"""Objects among which one has changed, where the changed ones lie. An assumption: that mostly those of the last days change, which are
the newest of their list. Nothing but a forecast rests on it."""
ONE, NONE, UNKNOWN = Figure(1), Figure(0), Figure(0, Sure.AT_LEAST)


class Way(StrEnum):
    """How a sync goes about a type."""

    WHOLE = "whole"
    REST = "rest"  # what an interrupted first reading has left
    CATCH_UP = "catch-up"
    REFUSED = "refused"  # the key may not read it, or the account does not have it


@dataclass(frozen=True, slots=True)
class Numbers:
    """What is known of a type's objects.

    `readings` are the objects that each reading of the list gives (there is more than one with `also_with`; none: nobody knows);
    `stored` how many of them an interrupted reading has kept, `noted` the requests that one has left. `onward` are the known
    objects that a catch-up reads with the list once more. `asks` is for children: requests for each parent, on average, and
    `askable` the share of parents that can be asked. What may change without an event takes `open` requests. Since the last
    sync, `new` objects were created, events tell of `changed` ones, and `again` are to be read one by one.
    """

    readings: tuple[Figure, ...] | None = None
    stored: int = 0
    noted: int = 0
    onward: Figure = NONE
    asks: Figure = UNKNOWN
    askable: Figure = UNKNOWN
    open: Figure = NONE
    new: Figure = NONE
    changed: Figure = NONE
    again: Figure = NONE
    refusal: str | None = None

    @property
    def rows(self) -> Figure | None:
        """All objects of the type."""
        return total(list(self.readings)) if self.readings is not None else None


@dataclass(frozen=True, slots=True)
class Situation:
    """What a sync of these types finds. `events` are to be read for what changed (none: no type's changes are told, or none may be)."""

    kinds: Sequence[ObjectType]
    ways: Mapping[str, Way]
    numbers: Mapping[str, Numbers]
    events: Figure | None

    def but(self, name: str, **changes: Any) -> "Situation":
        """Give the same with other numbers of one type."""
        return replace(self, numbers={**self.numbers, name: replace(self.numbers[name], **changes)})

    def asked_below(self, kind: ObjectType) -> "Situation":
        """Give the same with a type's list asked for parent by parent."""
        return replace(self, kinds=tuple(kind if one.name == kind.name else one for one in self.kinds))

    def refused(self, kind: ObjectType, why: str) -> "Situation":
        """Give the same with a type that may not be read."""
        return replace(self.but(kind.name, refusal=why, readings=None), ways={**self.ways, kind.name: Way.REFUSED})


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


def forecast(situation: Situation, limits: Limits) -> Forecast:
    """Forecast a sync, but for what will change while it lasts."""
    asked = {kind.name: _asked(kind, situation) for kind in situation.kinds}
    own = dict.fromkeys(OWN, ONE)
    if situation.events is not None:
        told = next((asked[kind.name] for kind in situation.kinds if kind.path == EVENTS.path), own)
        told[EVENTS.endpoint] = told.get(EVENTS.endpoint, NONE) + situation.events.pages(PAGE)
    endpoints = _sum([*asked.values(), own])
    types = tuple(_of_type(kind, situation, asked[kind.name], limits) for kind in situation.kinds)
    return Forecast(types, endpoints, _shortest(endpoints, limits))


def _of_type(kind: ObjectType, situation: Situation, asked: Mapping[str, Figure], limits: Limits) -> TypeForecast:
    numbers = situation.numbers[kind.name]
    requests = total(list(asked.values()))
    return TypeForecast(kind.name, situation.ways[kind.name], numbers.rows, requests, _shortest(asked, limits), numbers.refusal)


def allotment(transactions: Figure) -> Figure:
    """Say how many reads Stripe allots in 30 days to an account with so many transactions in them."""
    earned = transactions * READS_PER_TRANSACTION
    return earned if earned.value > LEAST_READS else Figure(LEAST_READS, earned.sure if earned.sure is Sure.AT_LEAST else Sure.COUNTED)


def _asked(kind: ObjectType, situation: Situation) -> dict[str, Figure]:
    """Forecast the requests for a type by endpoint."""
    numbers = situation.numbers[kind.name]
    match situation.ways[kind.name]:
        case Way.REFUSED:
            above = situation.ways.get(kind.parent.type) if kind.parent is not None else None
            return {kind.endpoint: NONE if above is Way.REFUSED else ONE}
        case Way.CATCH_UP:
            return _caught_up(kind, situation)
        case Way.REST if numbers.noted and kind.parent is not None:
            return {kind.endpoint: Figure(numbers.noted)}
    if kind.parent is not None:
        return {kind.endpoint: _below(kind, situation, _rows(situation, kind.parent.type))}
    told = situation.events is not None and kind.path == EVENTS.path
    # What was created while the list was read: by one more page of it, where events do not tell.
    return {kind.endpoint: _whole_list(kind, situation) + (ONE if kind.fresh is Fresh.CREATED and not told else NONE)}


def _caught_up(kind: ObjectType, situation: Situation) -> dict[str, Figure]:
    numbers = situation.numbers[kind.name]
    asked = {kind.endpoint: NONE}
    of_parents = kind.parent is not None and kind.parent.placeholder in kind.told_of.values()
    if kind.retrieve_path is not None and not of_parents:
        asked[kind.retrieve_endpoint] = _again(kind, numbers)
    elif of_parents:
        asked[kind.endpoint] = numbers.again
    if kind.parent is not None:
        if kind.fresh is Fresh.CREATED:
            asked[kind.endpoint] += (_rows(situation, kind.parent.type) or UNKNOWN) * numbers.askable
        elif kind.fresh is Fresh.PARENT or kind.parent.embedded:
            asked[kind.endpoint] += _below(kind, situation, _touched(kind.parent.type, situation))
    elif kind.fresh is Fresh.CREATED and not (kind.path == EVENTS.path and situation.events is not None):
        asked[kind.endpoint] += (numbers.onward + numbers.new).pages(PAGE)
    if kind.open and kind.retrieve_path is not None:
        asked[kind.retrieve_endpoint] = asked.get(kind.retrieve_endpoint, NONE) + numbers.open
    asked[kind.endpoint] += Figure(numbers.noted)
    return asked


def _again(kind: ObjectType, numbers: Numbers) -> Figure:
    """Say how many requests bring what is to be read again: where a page of the list has several of them, it takes one for all."""
    again = numbers.again.value
    if numbers.rows is None or not again or not is_read_singly_or_listed(kind):
        return numbers.again
    if not is_listed(kind):
        pages = numbers.rows.pages(PAGE)
        return pages if pages.value < again else numbers.again
    on_a_page = PAGE * again / max(1.0, min(numbers.rows.value, LIE_WITHIN * again))
    return Figure(max(min(1.0, again), again / (1 + on_a_page)), total([numbers.again, Figure(0, Sure.ESTIMATED)]).sure)


def _rows(situation: Situation, name: str) -> Figure | None:
    return situation.numbers[name].rows if name in situation.numbers else None


def _touched(name: str, situation: Situation) -> Figure | None:
    """Say how many objects of a type a catch-up finds new or changed; none where nobody knows."""
    kind, numbers = next(kind for kind in situation.kinds if kind.name == name), situation.numbers[name]
    match kind.fresh:
        case Fresh.EVENTS:
            return numbers.changed
        case Fresh.CREATED:
            return numbers.new
        case Fresh.REFRESH:
            return UNKNOWN
    assert kind.parent is not None
    parents, all_parents = _touched(kind.parent.type, situation), _rows(situation, kind.parent.type)
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
    if kind.hidden_under is not None and situation.ways.get(kind.hidden_under.type, Way.REFUSED) is not Way.REFUSED:
        pages += _rows(situation, kind.hidden_under.type) or UNKNOWN
    return pages


def _with_slices(kind: ObjectType, pages: Figure) -> Figure:
    """Add what reading by several cursors wastes: the last page of each slice is half empty on average."""
    if not kind.created_filter or pages.value < WORTH_SPLITTING:
        return pages
    return replace(pages, value=pages.value + (pages.value // PAGES_PER_SLICE + 1) / 2)


def _below(kind: ObjectType, situation: Situation, parents: Figure | None) -> Figure:
    """Forecast the requests for the children of so many parents: of each that can have any, or whose list is cut short."""
    assert kind.parent is not None
    if kind.parent.needs is not None and _rows(situation, kind.parent.needs) == NONE:
        return NONE
    return UNKNOWN if parents is None else NONE if parents == NONE else parents * situation.numbers[kind.name].asks


def _sum(parts: Iterable[Mapping[str, Figure]]) -> dict[str, Figure]:
    found: dict[str, Figure] = {}
    for part in parts:
        for name, figure in part.items():
            found[name] = found.get(name, NONE) + figure
    return found


def _shortest(endpoints: Mapping[str, Figure], limits: Limits) -> float:
    """Give the shortest possible time in seconds: as fast as the account's limit allows, or the busiest endpoint's."""
    every = sum(figure.value for figure in endpoints.values())
    most = max((figure.value for figure in endpoints.values()), default=0.0)
    return max(every / limits.account if limits.account else 0.0, most / limits.endpoint if limits.endpoint else 0.0)
