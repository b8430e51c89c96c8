"""What every part of a run shares: the catalog, the connection to Stripe, the way to the database, the progress."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from stripe_assets.api.answers import Answer, Page, read_page
from stripe_assets.api.client import Request, StripeClient
from stripe_assets.catalog.types import Catalog, ObjectType
from stripe_assets.errors import Rejected, RequestError
from stripe_assets.limits.priority import Priority
from stripe_assets.sync.clock import Clock
from stripe_assets.sync.progress import RunProgress, TypeProgress
from stripe_assets.warehouse.writer import Writer

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Session:
    """One run on one account. `oldest` is when the account was opened (seconds), where Stripe tells.

    `hand_over` has the readers of embedded children: a list that is cut short is asked for at once, not only when its
    parent is stored.
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

    def of(self, kind: ObjectType) -> TypeProgress:
        """Give a type's progress."""
        return self.progress.types[kind.name]

    async def ask(self, kind: ObjectType, request: Request, read: Callable[[Answer], T]) -> tuple[T, float]:
        """Make a request for a type; give what was read, and when (seconds since 1970)."""
        self.of(kind).requests += 1
        found = await self.client.get(request, read)
        return found, self.clock.now()

    async def page(self, kind: ObjectType, request: Request) -> tuple[Page, float]:
        """Make a request for a page of a type's list."""
        page, read_at = await self.ask(kind, request, read_page)
        refuse_standstill(page, request)
        return page, read_at

    async def bury(self, kind: ObjectType, error: RequestError, params: object) -> None:
        """Keep a request that failed for good, and note that the type is not complete."""
        self.of(kind).end("failed", reason=str(error), request_id=error.request_id)
        await self.writer.books(lambda ledger: ledger.bury(kind, error, params, attempts=1))

    def priority(self, kind: ObjectType) -> Priority:
        """Say what follows from a page of this type's list: children to be asked for, or only its own next page."""
        has_children = any(child.name in self.selected for child in self.catalog.children(kind.name))
        return Priority.FAN_OUT if has_children else Priority.PAGE


def refuse_standstill(page: Page, request: Request) -> None:
    """Raise `Rejected` for a page that says that there is more and does not give it: it is neither the end nor a way on."""
    cursor = request.params.get("starting_after")
    if page.has_more and (page.last is None or page.last.id == cursor):
        raise Rejected(f"GET {request.path} says that there is more after {cursor or 'nothing'}, and does not give it", path=request.path)
