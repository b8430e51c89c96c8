"""Expansion: ids in an answer replaced by the objects they name, up to four levels deep."""

from typing import Any

import orjson

from stripe_assets.simulator import rendering
from stripe_assets.simulator.account import Account
from stripe_assets.simulator.replies import Refusal
from stripe_assets.simulator.shapes import KINDS, ON_REQUEST, expandable, has_stub, template
from stripe_assets.simulator.store import Record

DEEPEST = 4

Tree = dict[str, "Tree"]
Shown = dict[str, Any]


def expand(account: Account, kind: str, answer: Shown, paths: list[str], *, listing: bool) -> None:
    """Expand `paths` within an answer of fresh dicts, in place."""
    tree: Tree = {}
    for path in paths:
        parts = path.split(".")
        first = 1 if listing else 0
        if len(parts) > DEEPEST:
            raise Refusal(400, f"You cannot expand more than {DEEPEST} levels of a property: {path}.", param="expand")
        if (listing and parts[0] != "data") or len(parts) <= first or not all(parts) or not _known(kind, parts[first]):
            raise _not_expandable(path)
        branch = tree
        for part in parts:
            branch = branch.setdefault(part, {})
    _Expansion(account).grow(answer, tree)


def _not_expandable(path: str) -> Refusal:
    return Refusal(400, f"This property cannot be expanded ({path}).", param="expand")


def _known(kind: str, field: str) -> bool:
    if field in expandable(kind):
        return True
    form = template(kind)
    return field in form and not isinstance(form[field], str | int | bool)


class _Expansion:
    def __init__(self, account: Account) -> None:
        self._account = account
        self._store = account.store

    def grow(self, shown: Shown, tree: Tree) -> None:
        for field, branch in tree.items():
            kind = shown.get("object")
            if kind in ON_REQUEST and field in ON_REQUEST[kind]:
                shown[field] = self._on_request(kind, shown, field)
            elif field not in shown:
                raise _not_expandable(field)
            shown[field] = self._value(shown, field, shown[field])
            for each in shown[field] if isinstance(shown[field], list) else [shown[field]]:
                if isinstance(each, dict):
                    self.grow(each, branch)

    def _value(self, shown: Shown, field: str, value: Any) -> Any:
        if isinstance(value, list):
            return [self._value(shown, field, each) for each in value]
        if value is None or isinstance(value, dict):
            return value
        kind = shown.get("object")
        if not isinstance(value, str) or (kind in KINDS and field not in expandable(kind)):
            raise _not_expandable(field)
        return self._named(value)

    def _named(self, object_id: str) -> Any:
        for kind, present in self._store.present.items():
            if kind != "plan" and (found := present.get(object_id)) is not None:
                return self._fresh(found)
        for kind, gone in self._store.gone.items():
            if object_id in gone and has_stub(kind):
                return {"id": object_id, "object": kind, "deleted": True}
        return object_id

    def _fresh(self, record: Record) -> Shown:
        shown: Shown = orjson.loads(rendering.body(self._store, record))
        return shown

    def _on_request(self, kind: str, shown: Shown, field: str) -> Shown:
        object_id = shown["id"]
        match kind, field:
            case "charge", "refunds":
                refunds = [self._fresh(each) for each in reversed(self._store.shelf("refund").under(object_id))]
                return self._first(refunds, f"/v1/charges/{object_id}/refunds")
            case "customer", "subscriptions":
                ended = ("canceled", "incomplete_expired")
                own = [
                    each for each in self._store.each("subscription")
                    if each.fields["customer"] == object_id and each.fields["status"] not in ended
                ]  # fmt: skip
                return self._first([self._fresh(each) for each in reversed(own)], f"/v1/customers/{object_id}/subscriptions")
            case "invoice", "payments":
                return self._first(self._payments(shown), f"/v1/invoice_payments?invoice={object_id}")
            case "checkout.session", "line_items":
                return self._first(self._bought(shown), f"/v1/checkout/sessions/{object_id}/line_items")
        return self._first([], f"/v1/customers/{object_id}/{field}")

    def _first(self, objects: list[Shown], url: str) -> Shown:
        most = rendering.EMBEDDED_AT_MOST
        return {"object": "list", "data": objects[:most], "has_more": len(objects) > most, "url": url}

    def _payments(self, invoice: Shown) -> list[Shown]:
        intent = self._account.payment_of(invoice["id"])
        if intent is None:
            return []
        paid = invoice["status"] == "paid"
        transitions = {"canceled_at": None, "paid_at": invoice["status_transitions"]["paid_at"]}
        return [{
            "id": f"inpay_{invoice['id'][3:]}", "object": "invoice_payment", "amount_paid": invoice["amount_paid"] if paid else None,
            "amount_requested": invoice["amount_due"], "created": invoice["effective_at"], "currency": invoice["currency"],
            "invoice": invoice["id"], "is_default": True, "livemode": False,
            "payment": {"payment_intent": intent, "type": "payment_intent"}, "status": "paid" if paid else "open",
            "status_transitions": transitions,
        }]  # fmt: skip

    def _bought(self, session: Shown) -> list[Shown]:
        found = self._account.bought(session["id"])
        if found is None:
            return []
        price, quantity = found
        return [{
            "id": f"li_{session['id'][8:32]}", "object": "item", "amount_discount": 0, "amount_tax": 0,
            "amount_subtotal": session["amount_subtotal"], "amount_total": session["amount_total"], "currency": session["currency"],
            "description": "Purchase", "price": self._fresh(price), "quantity": quantity,
        }]  # fmt: skip
