"""What every part of a run shares: the catalog, the connection to Stripe, the way to the database, the progress."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from stripe_assets.api.answers import Answer, Page, read_page, read_single, read_token_page
from stripe_assets.api.client import Request, StripeClient
from stripe_assets.catalog.types import Catalog, Form, Fresh, ObjectType, Paging
from stripe_assets.errors import Rejected, RequestError
from stripe_assets.limits.priority import Priority
from stripe_assets.sync.clock import Clock
from stripe_assets.sync.progress import RunProgress, TypeProgress
from stripe_assets.sync.slices import PAGE
from stripe_assets.warehouse.writer import Writer

T = TypeVar("T")
CURSORS = {Paging.CURSOR: "starting_after", Paging.TOKEN: "page"}
"""The parameter that asks for the next page."""


@dataclass(slots=True)
class Session:
    """One run on one account. `oldest` is when the account was opened, where Stripe tells, and `began` when the run was (seconds);
    `ahead` is by how much the mirror was dated later than the present, when it did.

    `hand_over` has the readers of embedded children: a list that is cut short is asked for at once, not only when its
    parent is stored. `looked_at` has the last note that this run has taken up, by type and purpose: what of those before it
    still stands has failed, and is the next run's.
    """

    catalog: Catalog
    client: StripeClient
    writer: Writer
    progress: RunProgress
    selected: frozenset[str]
    account_id: str
    oldest: int | None
    clock: Clock
    hand_over: dict[str, Callable[[list[tuple[str, str]]], None]] = field(default_factory=dict)
    looked_at: dict[tuple[str, str], int] = field(default_factory=dict)
    began: float = field(default=0.0, init=False)
    ahead: float = field(default=0.0, init=False)
    _priorities: dict[str, Priority] = field(default_factory=dict, init=False)
    _sharing: dict[str, list[str]] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        """Look up once what would be looked up for every page."""
        for kind in self.catalog:
            parent = any(child.name in self.selected for child in self.catalog.children(kind.name))
            self._priorities[kind.name] = Priority.FAN_OUT if parent else Priority.LEAF if kind.paging is Paging.NONE else Priority.PAGE
            if kind.name in self.progress.types:
                self._sharing.setdefault(kind.endpoint, []).append(kind.name)

    def begin(self, *, not_before: float) -> None:
        """Begin the run, at a time that is not earlier than what the mirror has (seconds since 1970)."""
        self.ahead = max(0.0, not_before - self.clock.now())
        self.clock.not_before(not_before)
        self.began = self.clock.now()

    def of(self, kind: ObjectType) -> TypeProgress:
        """Give a type's progress."""
        return self.progress.types[kind.name]

    async def ask(self, kind: ObjectType, request: Request, read: Callable[[Answer], T]) -> tuple[T, float]:
        """Make a request for a type; give what was read, and when (seconds since 1970)."""
        self.of(kind).requests += 1
        found = await self.client.get(request, read)
        return found, self.clock.now()

    async def page(self, kind: ObjectType, request: Request) -> tuple[Page, float]:
        """Make a request for a page of a type's list, or for the one object that there is instead of a list."""
        read = read_single if kind.form is Form.SINGLE else read_token_page if kind.paging is Paging.TOKEN else read_page
        page, read_at = await self.ask(kind, request, read)
        refuse_standstill(page, request)
        return page, read_at

    async def bury(self, kind: ObjectType, error: RequestError, params: object, *, in_part: bool = False) -> None:
        """Keep a request that failed for good, and note that the type is not complete."""
        self.of(kind).end("failed", reason=str(error), request_id=error.request_id, in_part=in_part)
        await self.writer.books(lambda ledger: ledger.bury(kind, error, params, attempts=1))

    def list_request(
        self,
        kind: ObjectType,
        *,
        parent_id: str | None = None,
        further: Mapping[str, str] | None = None,
        cursor: str | None = None,
        expand: tuple[str, ...] = (),
    ) -> Request:
        """Write the request for a page of a type's list, of one parent's objects where the type has a parent."""
        path, found = kind.list_request(parent_id, further)
        query: dict[str, str | int | tuple[str, ...]] = {**found}
        if kind.paging is not Paging.NONE:
            query["limit"] = PAGE
        if cursor is not None:
            query[CURSORS[kind.paging]] = cursor
        if expand:
            query["expand"] = expand
        return Request(path, kind.endpoint, self.priority(kind), query)

    def expansions(self, kind: ObjectType) -> tuple[str, ...]:
        """Name what the objects of a list are to be expanded by, so that the selected children come with them."""
        return self.catalog.expansions(kind.name, self.selected)

    def expansions_of_one(self, kind: ObjectType) -> tuple[str, ...]:
        """Name what one object is to be expanded by: only the children that are read again with it."""
        following = {child.name for child in self.catalog.children(kind.name) if child.fresh is Fresh.PARENT}
        return tuple(path.removeprefix("data.") for path in self.catalog.expansions(kind.name, self.selected & following))

    def priority(self, kind: ObjectType) -> Priority:
        """Say what follows from a page of this type's list: children to be asked for, only its own next page, or nothing."""
        return self._priorities[kind.name]

    def expect(self, kind: ObjectType, pages: float) -> None:
        """Say how many requests a type still expects, so that the limiter knows which endpoint has most work left."""
        self.of(kind).pages_left = pages
        sharing = self._sharing.get(kind.endpoint, (kind.name,))  # a list may be that of two types
        self.client.limiter.work_left(kind.endpoint, sum(self.progress.types[name].pages_left for name in sharing))


def refuse_standstill(page: Page, request: Request) -> None:
    """Raise `Rejected` for a page that says that there is more and does not give it: it is neither the end nor a way on."""
    cursor = request.params.get("starting_after") or request.params.get("page")
    if page.has_more and (page.cursor is None or page.cursor == cursor):
        raise Rejected(f"GET {request.path} says that there is more after {cursor or 'nothing'}, and does not give it", path=request.path)


def owners(kind: ObjectType) -> tuple[str, ...]:
    """Name the types without which a type cannot be asked for."""
    if kind.parent is None:
        return ()
    return (kind.parent.type, *kind.parent.each.values(), *filter(None, [kind.parent.needs]))


def end_with_owners(session: Session, kind: ObjectType) -> bool:
    """End a type as those did without which it cannot be asked for, if they could not be read; say whether it has ended."""
    mine = session.of(kind)
    for name in owners(kind):
        owner = session.progress.types.get(name)
        if owner is not None and owner.over and owner.state != "complete":
            mine.end(owner.state, reason=f"its {name} could not be read: {owner.reason}", request_id=owner.request_id)
    return mine.over
