"""What the account really earned, written down as the story is told and never read off the served objects."""

from collections import defaultdict
from fractions import Fraction
from typing import Any, NamedTuple

from stripe_assets.simulator.periods import day_name, month_ends


class Revenue(NamedTuple):
    """One day's money in one currency, in minor units; refunds, disputes and fees as positive numbers."""

    gross: int
    refunds: int
    disputes: int
    fees: int
    net: int


class _Stretch:
    """A time during which one subscription item was worth the same."""

    __slots__ = ("currency", "customer", "monthly", "since", "until")

    def __init__(self, customer: str, currency: str, monthly: Fraction, since: int) -> None:
        self.customer = customer
        self.currency = currency
        self.monthly = monthly
        self.since = since
        self.until: int | None = None


class Truth:
    """The account's real numbers."""

    def __init__(self, began: int) -> None:
        self._began = began
        self.now = began
        self._days: dict[tuple[str, str], list[int]] = defaultdict(lambda: [0, 0, 0, 0])
        self._stretches: list[_Stretch] = []
        self._running: dict[str, _Stretch] = {}

    def earned(self, at: int, currency: str, *, gross: int = 0, refunded: int = 0, disputed: int = 0, fee: int = 0) -> None:
        """Note money that came or went; a dispute that was won back is negative `disputed`."""
        day = self._days[day_name(at), currency]
        day[0] += gross
        day[1] += refunded
        day[2] += disputed
        day[3] += fee

    def runs(self, item: str, customer: str, currency: str, monthly: Fraction, at: int) -> None:
        """Note that a subscription item is worth `monthly` from `at` on."""
        self.stops(item, at)
        stretch = self._running[item] = _Stretch(customer, currency, monthly, at)
        self._stretches.append(stretch)

    def stops(self, item: str, at: int) -> None:
        """Note that a subscription item is worth nothing from `at` on."""
        if (running := self._running.pop(item, None)) is not None:
            running.until = at

    @property
    def revenue_daily(self) -> dict[tuple[str, str], Revenue]:
        """Give revenue by UTC day of the balance transaction and currency.

        Gross holds charges and collected application fees; payouts, top-ups and transfers are no revenue.
        """
        return {
            key: Revenue(gross, refunds, disputes, fees, gross - refunds - disputes - fees)
            for key, (gross, refunds, disputes, fees) in sorted(self._days.items())
        }

    def mrr(self, at: int) -> dict[tuple[str, str], Fraction]:
        """Give what each customer's running subscriptions are worth a month at `at`, in minor units by (customer, currency).

        A change in the very second of `at` has happened; the story lets none fall on a month's end.
        """
        worth: dict[tuple[str, str], Fraction] = defaultdict(Fraction)
        for each in self._stretches:
            if each.since <= at and (each.until is None or at < each.until):
                worth[each.customer, each.currency] += each.monthly
        return {key: monthly for key, monthly in worth.items() if monthly > 0}

    @property
    def month_ends(self) -> list[int]:
        """Give the end of each month of the history: the first second of the next, UTC."""
        return month_ends(self._began, self.now)

    def as_json(self) -> dict[str, Any]:
        """Give all of it as plain values: fractions as text, days and customers as rows."""
        return {
            "revenue_daily": [
                {"date": date, "currency": currency, **revenue._asdict()} for (date, currency), revenue in self.revenue_daily.items()
            ],
            "mrr": [
                {"at": at, "customer": customer, "currency": currency, "mrr": str(monthly)}
                for at in [*self.month_ends, self.now]
                for (customer, currency), monthly in self.mrr(at).items()
            ],
            "month_ends": self.month_ends,
            "now": self.now,
        }
