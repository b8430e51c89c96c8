"""Expansion: ids in an answer replaced by the objects they name, up to four levels deep."""

from typing import Any

import orjson

from stripe_assets.simulator import facts, inventory, rendering
from stripe_assets.simulator.account import Account
from stripe_assets.simulator.replies import Refusal
from stripe_assets.simulator.shapes import ON_REQUEST
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
    if any(holder == kind and path.split(".")[0] == field for holder, path in rendering.REQUESTED):
        return True
    for name in inventory.objects(kind):
        if field in facts.expandable(name) or not isinstance(facts.form(name).get(field, 0), str | int | bool):
            return True
    return False


def _asks(tree: Tree, parts: list[str]) -> bool:
    for part in parts:
        if part not in tree:
            return False
        tree = tree[part]
    return True


class _Expansion:
    def __init__(self, account: Account) -> None:
        self._store = account.store

    def grow(self, shown: Shown, tree: Tree) -> None:
        kind = shown.get("object")
        for (holder, path), (child, url) in rendering.REQUESTED.items():
            if holder == kind and _asks(tree, path.split(".")):
                self._embed(shown, path.split("."), child, url)
        for field, branch in tree.items():
            if kind in ON_REQUEST and field in ON_REQUEST[kind]:
                shown[field] = self._on_request(kind, shown["id"], field)
            elif field not in shown:
                raise _not_expandable(field)
            shown[field] = self._value(shown, field, shown[field])
            for each in shown[field] if isinstance(shown[field], list) else [shown[field]]:
                if isinstance(each, dict):
                    self.grow(each, branch)

    def _embed(self, shown: Shown, parts: list[str], child: str, url: str) -> None:
        """Put the first page of a list where the object shows it on request."""
        within = shown
        for part in parts[:-1]:
            within = within[part]
        within[parts[-1]] = orjson.loads(orjson.dumps(rendering.first(self._store, child, shown["id"], url)))

    def _value(self, shown: Shown, field: str, value: Any) -> Any:
        if isinstance(value, list):
            return [self._value(shown, field, each) for each in value]
        if value is None or isinstance(value, dict):
            return value
        name = shown.get("object")
        named = facts.expandable(name) if isinstance(name, str) and facts.known(name) else None
        if not isinstance(value, str) or (named is not None and field not in named):
            raise _not_expandable(field)
        return self._named(value, named[field] if named is not None else [])

    def _named(self, object_id: str, names: list[str]) -> Any:
        for kind in [each for each in self._store.growers if {*inventory.objects(each)} & {*names}]:
            self._store.shelf(kind)
        for kind, present in self._store.present.items():
            if kind != "plan" and (found := present.get(object_id)) is not None:
                return self._fresh(found)
        for kind, gone in self._store.gone.items():
            if object_id in gone and facts.has_stub(gone[object_id][0]):
                return {"id": object_id, "object": inventory.objects(kind)[0], "deleted": True}
        return object_id

    def _fresh(self, record: Record) -> Shown:
        shown: Shown = orjson.loads(rendering.body(self._store, record))
        return shown

    def _on_request(self, kind: str, object_id: str, field: str) -> Shown:
        match kind, field:
            case "charge", "refunds":
                return self._first(self._store.shelf("refund").under(object_id), f"/v1/charges/{object_id}/refunds")
            case "invoice", "payments":
                return self._first(self._store.shelf("invoice_payment").under(object_id), f"/v1/invoice_payments?invoice={object_id}")
        ended = ("canceled", "incomplete_expired")
        own = [
            each for each in self._store.each("subscription")
            if each.fields["customer"] == object_id and each.fields["status"] not in ended
        ]  # fmt: skip
        return self._first(own, f"/v1/customers/{object_id}/subscriptions")

    def _first(self, records: list[Record], url: str) -> Shown:
        most = rendering.EMBEDDED_AT_MOST
        shown = [self._fresh(each) for each in records[: -most - 1 : -1]]
        return {"object": "list", "data": shown, "has_more": len(records) > most, "url": url}
