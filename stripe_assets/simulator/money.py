"""Currencies of the account, and what Stripe keeps of each payment; amounts are in minor units."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Currency:
    """One currency: its share of customers, its price level against the dollar's cents, and Stripe's fixed parts."""

    code: str
    country: str
    share: float
    scale: float
    step: int
    fixed_fee: int
    dispute_fee: int
    tax_percent: float

    def price(self, cents: int) -> int:
        """Give a dollar price in this currency's minor unit, rounded as its amounts must be."""
        return max(self.step, round(cents * self.scale / self.step) * self.step)

    def fee(self, amount: int) -> int:
        """Give Stripe's part of a card payment: 2.9% and a fixed amount."""
        return min(amount, round(amount * 0.029) + self.fixed_fee)


CURRENCIES = {
    each.code: each
    for each in (
        Currency("usd", "US", 0.62, 1.0, 1, 30, 1500, 8.5),
        Currency("eur", "DE", 0.19, 0.95, 1, 25, 2000, 19.0),
        Currency("gbp", "GB", 0.11, 0.8, 1, 20, 2000, 20.0),
        Currency("jpy", "JP", 0.05, 1.5, 10, 40, 1500, 10.0),
        Currency("kwd", "KW", 0.03, 3.0, 10, 100, 5000, 5.0),
    )
}
"""KWD has three decimals and Stripe takes only multiples of ten; JPY has none."""
