"""Which paths the account answers, and which operation each is to a rate limit."""

from dataclasses import dataclass

from stripe_assets.simulator.shapes import query

_LISTS = {
    "/v1/application_fees": "application_fee", "/v1/balance_transactions": "balance_transaction", "/v1/charges": "charge",
    "/v1/charges/{charge}/refunds": "refund", "/v1/checkout/sessions": "checkout.session", "/v1/coupons": "coupon",
    "/v1/credit_notes": "credit_note", "/v1/customers": "customer", "/v1/customers/{customer}/payment_methods": "payment_method",
    "/v1/customers/{customer}/subscriptions": "subscription", "/v1/disputes": "dispute", "/v1/events": "event",
    "/v1/invoiceitems": "invoiceitem", "/v1/invoices": "invoice", "/v1/invoices/{invoice}/lines": "line_item",
    "/v1/payment_intents": "payment_intent", "/v1/payment_methods": "payment_method", "/v1/payouts": "payout", "/v1/plans": "plan",
    "/v1/prices": "price", "/v1/products": "product", "/v1/promotion_codes": "promotion_code", "/v1/refunds": "refund",
    "/v1/setup_intents": "setup_intent", "/v1/subscription_items": "subscription_item", "/v1/subscriptions": "subscription",
    "/v1/tax_rates": "tax_rate", "/v1/topups": "topup", "/v1/transfers": "transfer",
}  # fmt: skip

_RETRIEVED = {
    "/v1/application_fees/{id}": "application_fee", "/v1/balance_transactions/{id}": "balance_transaction",
    "/v1/charges/{charge}": "charge",
    "/v1/checkout/sessions/{session}": "checkout.session", "/v1/coupons/{coupon}": "coupon", "/v1/credit_notes/{id}": "credit_note",
    "/v1/customers/{customer}": "customer", "/v1/disputes/{dispute}": "dispute", "/v1/events/{id}": "event",
    "/v1/invoiceitems/{invoiceitem}": "invoiceitem", "/v1/invoices/{invoice}": "invoice", "/v1/payment_intents/{intent}": "payment_intent",
    "/v1/payment_methods/{payment_method}": "payment_method", "/v1/payouts/{payout}": "payout", "/v1/plans/{plan}": "plan",
    "/v1/prices/{price}": "price", "/v1/products/{id}": "product", "/v1/promotion_codes/{promotion_code}": "promotion_code",
    "/v1/refunds/{refund}": "refund", "/v1/setup_intents/{intent}": "setup_intent", "/v1/subscription_items/{item}": "subscription_item",
    "/v1/subscriptions/{subscription_exposed_id}": "subscription", "/v1/tax_rates/{tax_rate}": "tax_rate", "/v1/topups/{topup}": "topup",
    "/v1/transfers/{transfer}": "transfer",
}  # fmt: skip

_SINGLE = {"/v1/account": "account", "/v1/balance": "balance"}

PARENTS = {"charge": "charge", "customer": "customer", "invoice": "invoice", "payout": "payout", "subscription": "subscription"}
"""Words in a path or a query that name the object which others lie under, with its kind."""

UNDER = {
    "balance_transaction": "payout", "line_item": "invoice", "payment_method": "customer", "refund": "charge",
    "subscription_item": "subscription",
}  # fmt: skip
"""By which word the objects of a kind are found without a search."""

REQUIRED = {"/v1/payment_methods": "customer", "/v1/subscription_items": "subscription"}


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One operation: what a rate limit counts."""

    name: str
    path: str
    kind: str
    form: str
    """`list`, `retrieve` or `single`."""
    query: frozenset[str] = frozenset()
    parent: str | None = None

    @property
    def resources(self) -> set[str]:
        """Every name by which a key's permissions may mean this endpoint."""
        first = self.path.removeprefix("/v1/").split("/{", maxsplit=1)[0]
        return {self.kind, self.kind.replace(".", "_"), first, first.replace("/", "_")}

    @property
    def permission(self) -> str:
        """The permission that a restricted key needs."""
        return f"rak_{self.kind.replace('.', '_')}_read"


class Routes:
    """Finds the endpoint of a path."""

    def __init__(self) -> None:
        self._fixed: dict[str, Endpoint] = {}
        self._open: dict[tuple[str, ...], Endpoint] = {}
        for path, kind in _LISTS.items():
            word = path[path.index("{") + 1 : path.index("}")] if "{" in path else None
            self._add(Endpoint(f"GET {path}", path, kind, "list", query(path), word))
        for path, kind in _RETRIEVED.items():
            self._add(Endpoint(f"GET {path}", path, kind, "retrieve"))
        for path, kind in _SINGLE.items():
            self._add(Endpoint(f"GET {path}", path, kind, "single"))

    def _add(self, endpoint: Endpoint) -> None:
        if "{" in endpoint.path:
            self._open[tuple("*" if part.startswith("{") else part for part in endpoint.path.split("/"))] = endpoint
        else:
            self._fixed[endpoint.path] = endpoint

    def find(self, path: str) -> tuple[Endpoint, str | None] | None:
        """Give the endpoint of a path and the id within it."""
        if (fixed := self._fixed.get(path)) is not None:
            return fixed, None
        parts = path.split("/")
        for place in (3, 4):
            if len(parts) > place and parts[place]:
                found = self._open.get((*parts[:place], "*", *parts[place + 1 :]))
                if found is not None:
                    return found, parts[place]
        return None

    def all(self) -> list[Endpoint]:
        """Give every endpoint."""
        return [*self._fixed.values(), *self._open.values()]
