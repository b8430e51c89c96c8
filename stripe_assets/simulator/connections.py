"""The accounts that are connected to a platform: each is told from a seed of its own when somebody asks for it.

A thousand of them cost nothing until then, and those that nobody has changed are forgotten when others are asked for.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterator
from functools import cached_property
from typing import TYPE_CHECKING

from stripe_assets.simulator.chance import Chance
from stripe_assets.simulator.periods import after
from stripe_assets.simulator.store import Fields

if TYPE_CHECKING:
    from stripe_assets.simulator.account import Account

KEPT = 40
"""Unchanged accounts in memory at a time: 0.8 MB each with five customers (2026-11-22)."""
MONTHS = 6
"""The longest history of a connected account."""

_SORTS: tuple[Fields, ...] = (
    {"type": "custom", "controller": {"is_controller": True, "requirement_collection": "application", "type": "application"}},
    {"type": "express", "controller": {"is_controller": True, "requirement_collection": "stripe", "type": "application"}},
    {"type": "standard", "controller": {"is_controller": False, "type": "application"}, "external_accounts": None},
)


class Connections:
    """Connected accounts by id; `tell(seed, months)` makes one as it was when the platform was made."""

    def __init__(self, number: int, *, seed: int, now: int, tell: "Callable[[int, int], Account]") -> None:
        self._number = number
        self._seed = seed
        self._now = now
        self._tell = tell
        self._held: OrderedDict[str, Account] = OrderedDict()

    @cached_property
    def ids(self) -> dict[str, int]:
        """Every id, with the account's place. An account's id is the first thing that it draws."""
        return {Chance(self._seed_of(place)).id("acct_", 16): place for place in range(self._number)}

    @property
    def held(self) -> int:
        """How many of them are in memory."""
        return len(self._held)

    def _seed_of(self, place: int) -> int:
        return self._seed * 1_000_003 + 17 * place + 1

    def _months_of(self, place: int) -> int:
        return 1 + place % MONTHS

    def get(self, account_id: str, now: int) -> "Account | None":
        """Give a connected account as it is at `now`, or none."""
        place = self.ids.get(account_id)
        if place is None:
            return None
        account = self._held.pop(account_id, None) or self._tell(self._seed_of(place), self._months_of(place))
        self._held[account_id] = account
        if account.now < now:
            account.catch_up(now)
        self._forget()
        return account

    def _forget(self) -> None:
        """Drop what was not asked for the longest; it will be told again from its seed. What somebody changed stays."""
        unchanged = [account_id for account_id, account in self._held.items() if not account.changed]
        for account_id in unchanged[: max(0, len(unchanged) - KEPT)]:
            del self._held[account_id]

    def shown(self) -> Iterator[tuple[str, int, Fields]]:
        """Give id, `created` and fields of each account as the platform lists it, oldest first."""
        rows = [(account_id, self.created(place), self.fields(place)) for account_id, place in self.ids.items()]
        return iter(sorted(rows, key=lambda row: row[1]))

    def created(self, place: int) -> int:
        """Give when an account was made."""
        return after(self._now, "month", -self._months_of(place))

    def fields(self, place: int) -> Fields:
        """Give what distinguishes an account from others."""
        return {**_SORTS[place % len(_SORTS)], "email": f"owner{place}@example.com"}
