"""The neutral form of every served object, and what may be asked of its list: facts out of `shapes.json`.

The file is generated from Stripe's published samples and its OpenAPI extract, both as JSON:
`python -m stripe_assets.simulator.shapes SAMPLES API` writes it anew. What the values become in a story does not live here.
"""

import json
import re
import sys
from functools import cache
from pathlib import Path
from typing import Any

KINDS = (  # noqa: SIM905 - names read better as words than as thirty quoted strings
    "customer product price plan coupon promotion_code subscription subscription_item invoice line_item invoiceitem charge payment_intent "
    "setup_intent refund dispute balance_transaction payout transfer credit_note tax_rate checkout.session event payment_method "
    "application_fee topup account balance discount"
).split()

ON_REQUEST: dict[str, dict[str, list[str]]] = {
    "charge": {"refunds": ["refund"]},
    "invoice": {"payments": []},
    "customer": {"subscriptions": ["subscription"]},
}
"""Fields that are absent unless expanded; lists of `inventory` have their own."""

_FILE = Path(__file__).with_name("shapes.json")
_PLACEHOLDER = re.compile(r"\{[^}]*\}")


@cache
def _facts() -> dict[str, Any]:
    facts: dict[str, Any] = json.loads(_FILE.read_bytes())
    return facts


def template(kind: str) -> dict[str, Any]:
    """Give the neutral fields of `kind`; shared, so never change it."""
    found: dict[str, Any] = _facts()["objects"][kind]["template"]
    return found


def expandable(kind: str) -> dict[str, list[str]]:
    """Give the fields of `kind` that hold ids of other objects, with the kinds they may name."""
    found: dict[str, list[str]] = _facts()["objects"][kind]["expandable"]
    return found


def has_stub(kind: str) -> bool:
    """Say whether a deleted object of `kind` is still answered as a stub."""
    return bool(_facts()["objects"][kind]["deleted_stub"])


def query(path: str) -> frozenset[str]:
    """Give the query parameters that the list at `path` knows, besides paging and expand."""
    return frozenset(_facts()["lists"][_PLACEHOLDER.sub("{}", path)])


def event_types() -> frozenset[str]:
    """Give every event type that Stripe names."""
    return frozenset(_facts()["event_types"])


def _neutral(field: dict[str, Any], sample: Any) -> Any:
    if field.get("nullable") or field.get("type") == "id" or not field:
        return None
    match field.get("type"):
        case "boolean":
            return False
        case "integer" | "timestamp" | "number":
            return 0
        case "map":
            return {}
        case "array":
            return []
        case "list":
            return {"object": "list", "data": [], "has_more": False, "url": ""}
        case "object":
            return _bare(sample)
    return sample if sample in field.get("enum", ()) else ""


def _bare(sample: Any) -> Any:
    if isinstance(sample, dict):
        return {name: _bare(value) for name, value in sample.items()}
    if isinstance(sample, str):
        return sample if re.fullmatch(r"[a-z][a-z_]*", sample) else ""
    if isinstance(sample, bool):
        return sample
    return 0 if isinstance(sample, int) else [] if isinstance(sample, list) else sample


def _object(kind: str, sample: dict[str, Any], facts: dict[str, Any]) -> dict[str, Any]:
    skipped = ON_REQUEST.get(kind, {})
    # The samples have fields that the description of the same version has dropped (`invoice.subscription`): Stripe sends those no more.
    form = {
        name: _neutral(facts["fields"][name], value) for name, value in sample.items() if name in facts["fields"] and name not in skipped
    }
    links = {name: field["expandable"] for name, field in facts["fields"].items() if field.get("expandable")}
    for name, field in facts["fields"].items():
        if field.get("type") == "array" and field.get("items") == "id":
            links[name] = field.get("ref", [])
    deletable = bool(facts.get("deleted_stub"))
    return {"template": {"id": None, "object": kind} | form | {"object": kind}, "expandable": links | skipped, "deleted_stub": deletable}


def extract(samples: dict[str, Any], api: dict[str, Any]) -> dict[str, Any]:
    """Reduce Stripe's samples and API extract to the facts that the simulator needs."""
    wanted = {kind: _object(kind, samples["resources"][kind], api["objects"][kind]) for kind in KINDS}
    lists = {_PLACEHOLDER.sub("{}", each["path"]): each["query"] for each in api["lists"] if set(each["objects"]) <= set(KINDS)}
    return {"objects": wanted, "lists": lists, "event_types": api["event_types"]}


def main(samples: str, api: str) -> None:
    """Write `shapes.json` beside this file."""
    facts = extract(json.loads(Path(samples).read_bytes()), json.loads(Path(api).read_bytes()))
    _FILE.write_text(json.dumps(facts, separators=(",", ":"), sort_keys=False) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
