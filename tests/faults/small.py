"""A small history whose every request is known: a first sync of a tiny account, changes, and a second sync that catches up.

It has a list with embedded lists, one of them cut short, an expansion, children asked for by their parents, objects hidden by
others, a list by tokens, one without events, a single object, deletions, and events. Under virtual time, with faults as planned.
"""

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any
from urllib.parse import urlencode

from equality import differences, rows
from mirroring import NOW, World

from stripe_assets.api.client import ATTEMPTS, THROTTLED_ATTEMPTS
from stripe_assets.catalog.types import Catalog, load
from stripe_assets.simulator.account import Account
from stripe_assets.simulator.faults import REFUSED, Faults, Place
from stripe_assets.sync.summary import Summary
from stripe_assets.warehouse.database import Database
from stripe_assets.warehouse.private import private

TYPES = (
    "balance",
    "billing_credit_balance_transactions",
    "core_event_destinations",
    "coupons",
    "customer_balance_transactions",
    "customer_tax_ids",
    "customers",
    "test_helpers_test_clocks",
    "transfer_reversals",
    "transfers",
)
WHOLE = frozenset({"slow"})
"""Faults that are none to the client: the answer is whole."""
BY_LIMITER = frozenset(name for name, refusal in REFUSED.items() if refusal().reason is not None)
"""Faults by which a limiter says that somebody is too fast."""


@cache
def catalog() -> Catalog:
    """Only these types have tables: what the others cost is no part of the question."""
    whole = load()
    kinds = [kind for kind in whole if kind.name in TYPES]
    assert len(kinds) == len(TYPES)
    return Catalog(whole.api_version, kinds, whole.event_types)


@cache
def _empty_file() -> Path:
    path = Path(mkdtemp()) / "empty.duckdb"
    Database(path).prepare(catalog(), private(catalog(), exclude=(), hashed=(), key=""))
    return path


def tiny() -> Account:
    """Make the account: the same each time."""
    account = Account(seed=3, customers=3, now=NOW, months=2, connected=0)
    transfer = account.create("transfer", amount=1000, currency="usd")
    for _ in range(11):
        account.create("transfer_reversal", under=transfer, amount=1)
    account.create("customer", test_clock=account.objects("test_helpers.test_clock")[0]["id"])
    account.advance(days=0.01)
    return account


def change(account: Account) -> None:
    """Let a few things happen, of each kind that reaches the mirror by another way."""
    first, second, *_ = [each["id"] for each in account.objects("customer")]
    account.edit("customer", first, email="first@example.com")
    account.edit("customer", first, email="second@example.com")
    account.delete("customer", second)
    account.create("customer_balance_transaction", under=account.objects("customer")[0]["id"], amount=-5, currency="usd")
    account.create("coupon", percent_off=5)
    account.delete("coupon", account.objects("coupon")[-1]["id"])
    account.create("transfer_reversal", under=account.objects("transfer")[0]["id"], amount=1)
    account.advance(days=0.01)


@dataclass
class History:
    """A mirror of the account, and what came of each sync."""

    world: World
    summaries: list[Summary] = field(default_factory=list)

    @property
    def requests(self) -> list[Any]:
        """Every request, in order."""
        return self.world.app.requests

    @property
    def failed(self) -> dict[str, str]:
        """The types that the last sync did not complete, with the reason."""
        return {result.type: result.reason or "" for result in self.summaries[-1].results if result.state != "complete"}

    @property
    def letters(self) -> set[str]:
        """The paths of the dead letters."""
        return {path for (path,) in rows(self.world.database, "select distinct path from stripe_sync.dead_letters")}

    def differences(self, *types: str) -> list[str]:
        """Say where mirror and account differ."""
        return differences(self.world.database, self.world.account, catalog=catalog(), types=types or TYPES)

    def sync(self, plan: Mapping[Place, str] | None = None) -> Summary:
        """Sync once more, under these faults: numbers count from this sync's first request."""
        self.world.app.faults = Faults.planned(plan or {})
        self.world.app.requests.clear()
        self.summaries.append(self.world.sync(TYPES))
        return self.summaries[-1]


def first(folder: Path) -> History:
    """Give the account before its first sync."""
    shutil.copy(_empty_file(), folder / "stripe.duckdb")
    return History(World(folder / "stripe.duckdb", tiny(), catalog=catalog()))


def second(folder: Path) -> History:
    """Give the account after its first sync and some changes, to be caught up with."""
    shutil.copy(_synced_file(), folder / "stripe.duckdb")
    history = History(World(folder / "stripe.duckdb", tiny(), catalog=catalog()))
    change(history.world.account)
    return history


BEGIN: dict[str, Callable[[Path], History]] = {"first": first, "second": second}


@cache
def _synced_file() -> Path:
    history = first(Path(mkdtemp()))
    assert history.sync().complete
    return history.world.database


@cache
def without_faults(which: str) -> tuple[str, ...]:
    """Give the requests of a sync without faults, in order: path and query."""
    history = BEGIN[which](Path(mkdtemp()))
    assert history.sync().complete
    assert history.differences() == []
    return tuple(map(asked, history.requests))


def asked(request: Any) -> str:
    """Write a request as plans name it: path and query."""
    return f"{request.path}?{urlencode(request.params, doseq=True, safe='[]')}"


def assert_equal_at_the_price_of_what_failed(history: History, which: str) -> None:
    """Check that the sync was complete, the mirror equals the account, and only what failed was asked for again.

    An answer of less than 80 bytes, an empty list, may drip in within its time.
    """
    assert history.failed == {}
    assert history.letters == set()
    assert history.differences() == []
    failed = [fault for fault in history.world.app.faults.struck if fault not in WHOLE]
    again = len(history.requests) - len(without_faults(which))
    assert len(failed) - failed.count("drip") <= again <= len(failed)


def attempts(fault: str) -> int:
    """Say how often a request is sent that always meets this fault."""
    return THROTTLED_ATTEMPTS if fault in BY_LIMITER else ATTEMPTS
