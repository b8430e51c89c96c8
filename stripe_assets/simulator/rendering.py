"""How an object looks from outside: neutral form, own fields, embedded lists cut at ten, embedded objects whole."""

from collections.abc import Iterable
from typing import Any

import orjson

from stripe_assets.simulator import facts, inventory
from stripe_assets.simulator.store import Record, Store

EMBEDDED_AT_MOST = 10
"""Objects of an embedded list before it is cut and `has_more` is true."""


def _address(each: inventory.Collection) -> str:
    if each.word is None:
        return f"{each.path}?{each.under}={{}}"
    return each.path.replace(f"{{{each.word}}}", "{}") if "{" in each.path else f"{each.path}?{each.word}={{}}"


CHILDREN = {
    "invoice": ("lines", "line_item", "/v1/invoices/{}/lines"),
    "subscription": ("items", "subscription_item", "/v1/subscription_items?subscription={}"),
    **{each.under: (each.field, each.name, _address(each)) for each in inventory.ALL if each.under and each.field and not each.requested},
}
"""Kinds with an embedded list: its field, the kind it holds, its address."""

REQUESTED = {
    (each.under, each.field): (each.name, _address(each)) for each in inventory.ALL if each.under and each.field and each.requested
}
"""Embedded lists that are there only when expanded: the kind they hold, and their address."""

WHOLE = {
    "subscription_item": (("price", "price"),),
    "subscription": (("default_tax_rates", "tax_rate"),),
    "dispute": (("balance_transactions", "balance_transaction"),),
    "checkout_session_line_item": (("price", "price"),),
}
"""Fields kept as ids here and served as the whole object, as it is now."""


def in_order_of_parent(kind: str) -> bool:
    """Say whether objects are listed as their parent embeds them: first made first. Others are listed newest first."""
    return kind.endswith("line_item") or kind == "subscription_item"


def render(store: Store, record: Record) -> dict[str, Any]:
    """Give an object as a dict that nobody else holds at its top level; deeper values are shared."""
    if record.kind in CHILDREN:
        store.shelf(CHILDREN[record.kind][1])  # it may say something about what lies under it
    shown = {**facts.form(facts.object_name(record)), **record.fields}
    for field, kind in WHOLE.get(record.kind, ()):
        named = shown[field]
        if isinstance(named, str):
            shown[field] = render(store, store.ever(kind, named))
        elif named:
            shown[field] = [render(store, store.ever(kind, each)) for each in named]
    if record.kind in CHILDREN:
        field, kind, url = CHILDREN[record.kind]
        if record.fields.get(field, ...) is None:
            del shown[field]  # not every account shows its external accounts
        else:
            shown[field] = first(store, kind, record.id, url)
    if record.kind in store.reshaped:
        for field, change in store.reshaped[record.kind].items():
            change(shown, field)
    return shown


def first(store: Store, kind: str, parent: str, url: str) -> dict[str, Any]:
    """Give the list of the objects under `parent` as another object embeds it: its first page."""
    children = store.shelf(kind).under(parent)
    shown: Iterable[Record] = children[:EMBEDDED_AT_MOST] if in_order_of_parent(kind) else children[: -EMBEDDED_AT_MOST - 1 : -1]
    return {
        "object": "list",
        "data": [orjson.Fragment(body(store, each)) for each in shown],
        "has_more": len(children) > EMBEDDED_AT_MOST,
        "url": url.format(parent),
    }


def body(store: Store, record: Record) -> bytes:
    """Give an object's bytes, made once and again only after a change."""
    if record.body is None:
        # A copy, because orjson's own buffer is larger than its text: 20,000 customers took 1.8 GB, copied 0.6 GB (2026-11-22).
        record.body = bytes(memoryview(orjson.dumps(render(store, record))))
    return record.body
