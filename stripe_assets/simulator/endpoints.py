"""Which paths the account answers, and which operation each is to a rate limit."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

from stripe_assets.simulator import inventory, samples

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

_RETRIEVED = {"/v1/accounts/{account}/bank_accounts/{id}": "external_account"}
"""Paths of single objects whose collection does not follow from the list above them."""

SINGLES = {
    "/v1/account": "account",
    "/v1/balance": "balance",
    "/v1/balance_settings": "balance_settings",
    "/v1/tax/settings": "tax.settings",
}

PARENTS = {"charge": "charge", "customer": "customer", "invoice": "invoice", "payout": "payout", "subscription": "subscription"}
"""Words in a path or a query that name the object which the story's others lie under, with its kind."""

UNDER = {
    "balance_transaction": "payout", "line_item": "invoice", "payment_method": "customer", "refund": "charge",
    "subscription_item": "subscription",
    **{each.name: each.word for each in inventory.ALL if each.word},
}  # fmt: skip
"""By which word the objects of a kind are found without a search."""

REQUIRED = {path: frozenset(each["required"]) for path, each in samples.lists().items() if each["required"]}
"""Parameters that a list wants, besides what stands in its path."""

_HOLE = re.compile(r"{(\w+)}")
_ELSEWHERE = {"tax_id": "customer_tax_id"}
"""Where an id is looked for that its own list does not have."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One operation: what a rate limit counts."""

    name: str
    path: str
    kind: str
    form: str
    """`list`, `retrieve` or `single`; `find` reads the one object that lies under another."""
    query: frozenset[str] = frozenset()
    parent: str | None = None
    """The word in the path that names the parent."""
    under: str | None = None
    """The kind of the parent, whether its id stands in the path or in the query; it must exist."""
    only: str | None = None
    """What the objects must call themselves, where the list shows a part of what its kind holds."""
    pages: str = "cursor"
    """How the list goes on: by `cursor`, by `token` (version 2), or `none`."""

    @property
    def resources(self) -> set[str]:
        """Every name by which a key's permissions may mean this endpoint."""
        first = self.path[len("/v1/") :].split("/{", maxsplit=1)[0]
        return {self.kind, self.kind.replace(".", "_"), first, first.replace("/", "_")}

    @property
    def permission(self) -> str:
        """The permission that a restricted key needs."""
        return f"rak_{self.kind.replace('.', '_')}_read"


def _lists() -> Iterator[Endpoint]:
    for path, each in samples.lists().items():
        kind = _LISTS.get(path) or inventory.ALIASES.get(path) or inventory.BY_PATH[path].name
        holes = _HOLE.findall(path)
        known = inventory.BY_NAME.get(kind)
        under = known.under if known is not None and known.word else PARENTS[holes[0]] if holes else None
        only = each["objects"][0] if path in inventory.ALIASES and len(each["objects"]) < len(inventory.objects(kind)) else None
        pages = "token" if "page" in each["query"] else "cursor" if each["pageable"] else "none"
        yield Endpoint(f"GET {path}", path, kind, "list", frozenset(each["query"]), holes[0] if holes else None, under, only, pages)


def _retrieved() -> Iterator[Endpoint]:
    for path, names in samples.retrieved().items():
        above, holes = path.rpartition("/")[0], _HOLE.findall(path)
        listed = (
            _LISTS.get(above) or inventory.ALIASES.get(above) or (inventory.BY_PATH[above].name if above in inventory.BY_PATH else None)
        )
        kind = _RETRIEVED.get(path) or listed or _holding(names)
        if kind is not None:
            parent = holes[0] if len(holes) > 1 else None
            yield Endpoint(f"GET {path}", path, kind, "retrieve", parent=parent)


def _holding(names: list[str]) -> str | None:
    """Give the collection of objects that have no list of their own on their path."""
    return next((each.name for each in inventory.ALL if {*names} <= {*inventory.objects(each.name)}), None)


class Routes:
    """Finds the endpoint of a path: by its words, one after the other, with a place for ids."""

    def __init__(self) -> None:
        self._tree: dict[str, Any] = {}
        self._all: list[Endpoint] = []
        find = inventory.BY_NAME["tax.association"]
        self._add(Endpoint(f"GET {find.path}", find.path, find.name, "find", frozenset({"payment_intent"}), under=find.under))
        for path, kind in SINGLES.items():
            self._add(Endpoint(f"GET {path}", path, kind, "single"))
        for endpoint in (*_lists(), *_retrieved()):
            self._add(endpoint)

    def _add(self, endpoint: Endpoint) -> None:
        self._all.append(endpoint)
        branch = self._tree
        for part in endpoint.path.split("/"):
            branch = branch.setdefault("*" if part.startswith("{") else part, {})
        branch[""] = endpoint

    def find(self, path: str) -> tuple[Endpoint, tuple[str, ...]] | None:
        """Give the endpoint of a path and the ids within it."""
        branch = self._tree
        ids: tuple[str, ...] = ()
        for part in path.split("/"):
            step = branch.get(part) if part or branch is self._tree else None
            if step is None and part:
                step = branch.get("*")
                ids = (*ids, part)
            if step is None:
                return None
            branch = step
        endpoint = branch.get("")
        return (endpoint, ids) if isinstance(endpoint, Endpoint) else None

    def all(self) -> list[Endpoint]:
        """Give every endpoint."""
        return list(self._all)


@cache
def routes() -> Routes:
    """Give the routes, which are the same for every account."""
    return Routes()


def places(kind: str) -> tuple[str, ...]:
    """Give the kinds among which an id that is asked for by itself may be."""
    return (kind, _ELSEWHERE[kind]) if kind in _ELSEWHERE else (kind,)
