"""What the business sells: products, prices with their plan twins, coupons, promotion codes, tax rates."""

from stripe_assets.simulator.books import Books
from stripe_assets.simulator.money import CURRENCIES
from stripe_assets.simulator.store import Fields, Record

TIERS = {"Starter": 900, "Team": 2900, "Business": 9900, "Scale": 29900}
"""Plans by name with their monthly price in dollar cents; a year costs ten months."""

_ADDONS = (
    "Seats", "Storage", "Audit log", "Single sign-on", "Priority support", "Sandbox", "Exports", "Webhooks", "Roles", "Backups", "Regions",
)  # fmt: skip
_ONCE = {"Onboarding": 14900, "Workshop": 4900}
_COUPONS: tuple[tuple[str, Fields], ...] = (
    ("LAUNCH25", {"percent_off": 25.5, "duration": "forever"}),
    ("SPRING20", {"percent_off": 20, "duration": "repeating", "duration_in_months": 3}),
    ("WELCOME", {"amount_off": 500, "currency": "usd", "duration": "once"}),
    ("FRIEND10", {"percent_off": 10, "duration": "once"}),
)


class Offers:
    """The catalogue of the business, made when its account begins."""

    def __init__(self, books: Books) -> None:
        self._books = books
        self.tiers: dict[tuple[str, str, int], list[Record]] = {}
        self.addons: list[Record] = []
        self.once: dict[str, list[Record]] = {}
        self.promotions: list[tuple[Record, Record]] = []
        self.taxes: dict[str, Record] = {}
        self._make()

    def _make(self) -> None:
        for name, cents in TIERS.items():
            product = self.product(name)
            for code, currency in CURRENCIES.items():
                self._tier(product, code, "month", 1, currency.price(cents))
                self._tier(product, code, "year", 1, currency.price(cents) * 10)
            if name == "Team":
                self._tier(product, "usd", "month", 3, cents * 3 - 500)
                self._tier(product, "usd", "week", 1, cents // 4)
        for turn, name in enumerate(_ADDONS):
            self.addons.append(self.price(self.product(name), "usd", 300 + 200 * turn, "month", 1))
        for name, cents in _ONCE.items():
            product = self.product(name)
            for code, currency in CURRENCIES.items():
                self.once.setdefault(code, []).append(self.price(product, code, currency.price(cents)))
        retired = self.product("Classic", active=False)
        self.price(retired, "usd", 700, "month", 1, active=False)
        for code, fields in _COUPONS:
            coupon = self._books.add("coupon", {"valid": True, "metadata": {}, "name": code.title(), **fields}, "coupon.created")
            promotion = self._books.add("promotion_code", {
                "active": True, "code": code, "metadata": {}, "promotion": {"coupon": coupon.id, "type": "coupon"},
            }, "promotion_code.created")  # fmt: skip
            self.promotions.append((coupon, promotion))
        for code, currency in CURRENCIES.items():
            self.taxes[code] = self._books.add("tax_rate", {
                "active": True, "country": currency.country, "display_name": "VAT", "metadata": {}, "percentage": currency.tax_percent,
                "effective_percentage": currency.tax_percent, "jurisdiction": currency.country, "tax_type": "vat",
            }, "tax_rate.created")  # fmt: skip

    def product(self, name: str, *, active: bool = True) -> Record:
        """Add a product."""
        fields = {"active": active, "name": name, "updated": self._books.now}
        return self._books.add("product", fields, "product.created")

    def price(
        self, product: Record, currency: str, amount: int, interval: str | None = None, count: int = 1, *, active: bool = True
    ) -> Record:
        """Add a price, and its plan when it recurs; amounts in minor units."""
        fields: Fields = {
            "active": active, "currency": currency, "product": product.id, "tax_behavior": "unspecified",
            "type": "recurring" if interval else "one_time", "unit_amount": amount, "unit_amount_decimal": str(amount),
            "recurring": interval and {
                "interval": interval, "interval_count": count, "meter": None, "usage_type": "licensed", "trial_period_days": None,
            },
        }  # fmt: skip
        price = self._books.add("price", fields, "price.created")
        if interval:
            self._books.add("plan", {
                "active": active, "amount": amount, "amount_decimal": str(amount), "currency": currency, "interval": interval,
                "interval_count": count, "metadata": {}, "product": product.id,
            }, "plan.created", object_id=price.id)  # fmt: skip
        return price

    def _tier(self, product: Record, currency: str, interval: str, count: int, amount: int) -> None:
        self.tiers.setdefault((currency, interval, count), []).append(self.price(product, currency, amount, interval, count))
