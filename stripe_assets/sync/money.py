"""Proves that the money adds up: balance transactions against the balance that Stripe tells now, and against the payouts.

What must add up stands in `catalog.money`, the sums are made in `warehouse.sums`.
"""

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import duckdb
import msgspec

from stripe_assets.api.answers import Answer, damaged, read_page
from stripe_assets.api.client import Request, StripeClient
from stripe_assets.catalog.money import BALANCE, HELD, MAIN, PAID_OUT, PAYOUTS, TRANSACTIONS
from stripe_assets.errors import RequestError, Unauthorized
from stripe_assets.limits.priority import Priority
from stripe_assets.sync.engine import Mirror
from stripe_assets.sync.proof import ATTEMPTS, looked_at
from stripe_assets.sync.slices import PAGE
from stripe_assets.sync.verdicts import NOT_WHOLE
from stripe_assets.warehouse.ledger import COMPLETE, Checkpoint, Ledger
from stripe_assets.warehouse.notes import OVERLAP
from stripe_assets.warehouse.sums import PayoutApart, held, known, own_transactions_apart, payouts_apart

T = TypeVar("T")
PAGES = 3
"""Pages of transactions newer than the mirror that are added to its own; with more of them it is due for a sync."""
ROUNDS = 2
"""Times that the balance is held against the transactions: money that moves between two requests does so once, not twice."""
TOO_MANY = "more transactions have come since the last sync than are looked at: sync first"
BEGINS_LATE = "the mirror leaves out what was created before a time: what came before is not known"


@dataclass(frozen=True, slots=True)
class Line:
    """One currency, in minor units: what transactions add up to, of which `newer` are not in the mirror yet, and the balance."""

    currency: str
    added_up: int
    newer: int
    balance: int

    @property
    def agrees(self) -> bool:
        """Whether the two are the same."""
        return self.added_up == self.balance


@dataclass(frozen=True, slots=True)
class MoneyProof:
    """Whether the money of one account adds up. `unproven` says what could not be looked at, and why."""

    account_id: str
    lines: tuple[Line, ...]
    payouts: int
    apart: tuple[PayoutApart, ...]
    unproven: tuple[str, ...]
    requests: int

    @property
    def passed(self) -> bool:
        """Whether nothing was found that is wrong."""
        return not self.apart and all(line.agrees for line in self.lines)


async def add_up(mirror: Mirror) -> MoneyProof:
    """Hold the mirror's balance transactions against balance and payouts.

    Raises `ConfigurationError`, `Unauthorized` and `WarehouseError`; that Stripe refuses the balance is told instead.
    """
    async with mirror.opened([TRANSACTIONS]) as opening:
        with ThreadPoolExecutor(1, thread_name_prefix="prove") as thread:
            asking = _Asking(mirror, opening.client, opening.account_id, thread)
            return await asking.add_up()


class _Asking:
    """One account, with everything open."""

    def __init__(self, mirror: Mirror, client: StripeClient, account_id: str, thread: ThreadPoolExecutor) -> None:
        self._mirror = mirror
        self._catalog = mirror.catalog
        self._client = client
        self._account_id = account_id
        self._thread = thread

    async def add_up(self) -> MoneyProof:
        unproven, lines = list[str](), tuple[Line, ...]()
        checkpoints = await self._checkpoints()
        if (why_not := _not_whole(checkpoints, TRANSACTIONS)) is not None:
            unproven.append(f"{TRANSACTIONS}: {why_not}")
        else:
            try:
                lines = await self._lines(checkpoints[TRANSACTIONS].created_from or 0)
            except Unauthorized:
                raise
            except RequestError as error:
                unproven.append(f"{BALANCE}: {error}")
            else:
                unproven += [f"{BALANCE}: {TOO_MANY}"] if not lines else []
        count, apart = 0, list[PayoutApart]()
        for name in (PAYOUTS, PAID_OUT):
            if (why_not := _not_whole(checkpoints, name)) is not None:
                unproven.append(f"{name}: {why_not}")
                break
        else:
            count, apart = await self._call(lambda c: payouts_apart(c, self._catalog, account_id=self._account_id))
        if {TRANSACTIONS, PAYOUTS} <= checkpoints.keys():
            apart += await self._call(lambda c: own_transactions_apart(c, self._catalog, account_id=self._account_id))
        return MoneyProof(self._account_id, lines, count, tuple(apart), tuple(unproven), self._client.requests.total())

    async def _checkpoints(self) -> dict[str, Checkpoint]:
        if not self._mirror.database.path.exists():
            return {}
        return await self._call(lambda c: Ledger(c, self._account_id).checkpoints())

    async def _lines(self, newest: int) -> tuple[Line, ...]:
        """Compare by currency; none if there are too many newer transactions."""
        lines = tuple[Line, ...]()
        for _ in range(ROUNDS):
            balance = await self._balance()
            newer = await self._since(newest - OVERLAP)
            if newer is None:
                return ()
            lines = await self._call(partial(self._compared, newer=newer, balance=balance))
            if all(line.agrees for line in lines):
                break
        return lines

    def _compared(
        self, connection: duckdb.DuckDBPyConnection, newer: "Mapping[str, _Transaction]", balance: Mapping[str, int]
    ) -> tuple[Line, ...]:
        ours = held(connection, self._catalog, account_id=self._account_id)
        there = known(connection, self._catalog, newer, account_id=self._account_id)
        more: dict[str, int] = {}
        for one in newer.values():
            if one.id not in there and one.balance_type == MAIN:
                more[one.currency] = more.get(one.currency, 0) + one.net
        return tuple(
            Line(each, ours.get(each, 0) + more.get(each, 0), more.get(each, 0), balance.get(each, 0))
            for each in sorted({*ours, *more, *balance})
        )

    async def _balance(self) -> dict[str, int]:
        kind = self._catalog[BALANCE]
        return await self._client.get(Request(kind.path, kind.endpoint, Priority.LEAF, kind.params), _read_balance, attempts=ATTEMPTS)

    async def _since(self, begin: int) -> "dict[str, _Transaction] | None":
        """Read the transactions since a time (seconds); none if they are too many."""
        kind = self._catalog[TRANSACTIONS]
        params: dict[str, str | int] = {**kind.params, "limit": PAGE, "created[gte]": max(0, begin)}
        found: dict[str, _Transaction] = {}
        for _ in range(PAGES):
            page = await self._client.get(Request(kind.path, kind.endpoint, Priority.LEAF, dict(params)), read_page, attempts=ATTEMPTS)
            found |= {one.id: one for one in map(_transactions.decode, page.objects)}
            if not page.has_more or page.last is None:
                return found
            params["starting_after"] = page.last.id
        return None

    async def _call(self, work: Callable[[duckdb.DuckDBPyConnection], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, looked_at, self._mirror.database, work)


def _not_whole(checkpoints: Mapping[str, Checkpoint], name: str) -> str | None:
    """Say why a type cannot be added up."""
    checkpoint = checkpoints.get(name)
    if checkpoint is None or checkpoint.state != COMPLETE:
        return NOT_WHOLE
    return BEGINS_LATE if checkpoint.since is not None else None


class _Transaction(msgspec.Struct, frozen=True):
    id: str
    net: int
    currency: str
    balance_type: str = MAIN


class _Amount(msgspec.Struct, frozen=True):
    amount: int
    currency: str


_transactions = msgspec.json.Decoder(_Transaction)
_amounts = msgspec.json.Decoder(dict[str, msgspec.Raw])
_lists = msgspec.json.Decoder(list[_Amount])


def _read_balance(answer: Answer) -> dict[str, int]:
    """Add up what the account holds, by currency. Raises `Transient` for something else than a balance."""
    found: dict[str, int] = {}
    try:
        fields = _amounts.decode(answer.body)
        for name in HELD:
            for one in _lists.decode(fields[name]):
                found[one.currency] = found.get(one.currency, 0) + one.amount
    except (msgspec.DecodeError, KeyError) as error:
        raise damaged(answer, error) from error
    return found
