"""What objects look like that the story does not tell of, and where they are served: facts out of `samples.json`.

The file is generated from Stripe's published samples and its OpenAPI extract, both as JSON:
`python -m stripe_assets.simulator.samples SAMPLES API` writes it anew. Shapes are carried over, sentences and addresses are not.
How many there are, and below what, stands in `inventory`; how they are varied in `growth`.
"""

import json
import re
import sys
from functools import cache
from pathlib import Path
from typing import Any

from stripe_assets.simulator.shapes import KINDS

Json = dict[str, Any]

_FILE = Path(__file__).with_name("samples.json")
_TIMES = range(1_200_000_000, 1_900_000_000)
_MOST = 8
"""Elements of an array or a map that are carried over."""

_SECOND: dict[str, Json] = {
    "v2.commerce.product_catalog_import": {"feed_type": "product", "status": "succeeded", "status_details": {}, "metadata": {}},
    "v2.core.account": {
        "applied_configurations": ["merchant"], "closed": False, "configuration": None, "contact_email": "someone@example.com",
        "dashboard": "express", "defaults": None, "display_name": "Sample", "identity": None, "metadata": {}, "requirements": None,
    },
    "v2.core.account_person": {
        "account": "", "email": "someone@example.com", "given_name": "Sample", "surname": "Sample", "metadata": {},
        "relationship": {"owner": True}, "updated": "",
    },
    "v2.core.event": {
        "type": "v2.core.event_destination.ping", "context": None, "reason": None,
        "related_object": {"id": "ed_sample", "type": "v2.core.event_destination", "url": "/v2/core/event_destinations/ed_sample"},
    },
    "v2.core.event_destination": {
        "description": "Sample", "enabled_events": ["v1.customer.created"], "event_payload": "thin", "events_from": ["self"],
        "metadata": {}, "name": "Sample", "snapshot_api_version": None, "status": "enabled", "status_details": None,
        "type": "webhook_endpoint", "updated": "", "webhook_endpoint": {"signing_secret": None, "url": None},
    },
}  # fmt: skip
"""Version 2 publishes no samples: made of the fields that the description names."""

_MENDED: dict[str, Json] = {
    "billing.credit_balance_transaction": {"type": "credit"},
    "billing.credit_grant": {"category": "paid", "customer": ""},
    "billing.meter_event_summary": {"aggregated_value": 0, "start_time": 0, "end_time": 0},
    "exchange_rate": {"rates": {"eur": 0.91, "gbp": 0.78}},
    "payment_attempt_record": {"payment_record": "", "reported_by": "self"},
    "radar.early_fraud_warning": {"payment_intent": ""},
    "review": {"payment_intent": ""},
    "tax.association": {"tax_transaction_attempts": []},
    "treasury.financial_account": {"is_default": False, "nickname": None},
}
"""Fields that the published sample lacks or fills with a placeholder."""

_IDS = {
    "billing.alert": "alrt_", "billing.credit_balance_transaction": "cbtxn_", "billing.credit_grant": "credgr_", "billing.meter": "mtr_",
    "billing.meter_event_summary": "mtrusg_", "forwarding.request": "fwdreq_", "invoice_payment": "inpay_",
    "invoice_rendering_template": "inrtem_", "payment_attempt_record": "par_", "payment_intent_amount_details_line_item": "uli_",
    "product_feature": "prodft_", "tax.association": "taxa_", "v2.commerce.product_catalog_import": "pcimprt_test_",
    "v2.core.account": "acct_", "v2.core.account_person": "person_test_", "v2.core.event": "evt_test_",
    "v2.core.event_destination": "ed_test_",
}  # fmt: skip
"""How ids begin that the published sample gives as a placeholder."""


@cache
def _facts() -> Json:
    facts: Json = json.loads(_FILE.read_bytes())
    return facts


def names() -> frozenset[str]:
    """Give the names of all objects that there is a sample of."""
    return frozenset(_facts()["objects"])


def form(name: str) -> Json:
    """Give the sample of an object; shared, so never change it."""
    found: Json = _facts()["objects"][name]["form"]
    return found


def id_form(name: str) -> tuple[str, int]:
    """Give how the object's ids begin, and how many letters follow."""
    prefix, letters = _facts()["objects"][name]["id"]
    return prefix, letters


def times(name: str) -> list[str]:
    """Give the fields that hold moments, `created` first."""
    found: list[str] = _facts()["objects"][name]["times"]
    return found


def links(name: str) -> dict[str, list[str]]:
    """Give the fields that hold ids of other objects, with the objects they may name."""
    found: dict[str, list[str]] = _facts()["objects"][name]["links"]
    return found


def has_stub(name: str) -> bool:
    """Say whether a deleted one is still answered as a stub."""
    return bool(_facts()["objects"][name]["deleted_stub"])


def lists() -> dict[str, Json]:
    """Give every list: its `query` parameters, those `required`, the `objects` it holds, and whether it is `pageable`."""
    found: dict[str, Json] = _facts()["lists"]
    return found


def retrieved() -> dict[str, list[str]]:
    """Give every path that reads one object, with the objects it may give."""
    found: dict[str, list[str]] = _facts()["retrieve"]
    return found


def extract(samples: Json, api: Json) -> Json:
    """Reduce Stripe's samples and API extract to the facts that the simulator needs."""
    listed = {each["path"]: each for each in api["lists"] if not each["path"].endswith("/search") and "/preview/" not in each["path"]}
    wanted = sorted(
        {name for each in listed.values() for name in each["objects"]} | {"balance_settings", "tax.association", "tax.settings"}
    )
    published = samples["resources"] | _SECOND
    return {
        "lists": {
            path: {"query": each["query"], "required": each["required_query"], "objects": each["objects"], "pageable": each["pageable"]}
            for path, each in listed.items()
        },
        "retrieve": {path: names for path, names in api["retrieve"].items() if "}" in path and set(names) & set(wanted)},
        "objects": {name: _object(name, published[name], api["objects"][name]) for name in wanted if name not in KINDS},
    }


def _object(name: str, sample: Json, facts: Json) -> Json:
    fields = facts["fields"]
    kept = {field: _kept(fields[field], _bare(value)) for field, value in sample.items() if field in fields}
    kept |= _MENDED.get(name, {}) | ({"created": "", "livemode": False} if name.startswith("v2.") else {})
    times = [field for field in kept if fields[field]["type"] == "timestamp" and kept[field]]
    links = {field: each["expandable"] for field, each in fields.items() if each.get("expandable")}
    return {
        "form": ({"id": ""} if "id" in fields else {}) | kept | {"object": name},
        "times": sorted(times, key=lambda field: field != "created"),
        "links": links,
        "id": _id_form(name, sample.get("id", "")),
        "deleted_stub": bool(facts.get("deleted_stub")),
    }


def _kept(field: Json, value: Any) -> Any:
    options = field.get("enum")
    return options[0] if options and value is not None and value not in options else value


def _id_form(name: str, sample: str) -> tuple[str, int]:
    if name in _IDS:
        return _IDS[name], 24
    prefix, _, letters = sample.rpartition("_")
    return (f"{prefix}_", len(letters)) if prefix else ("", max(8, len(letters)))


def _bare(value: Any) -> Any:
    """Keep what a value is like, not what it says."""
    if isinstance(value, dict):
        few = list(value.items())[:_MOST] if value and all(len(name) == 3 for name in value) else value.items()
        return {name: _bare(each) for name, each in few}
    if isinstance(value, list):
        return [_bare(each) for each in value[:_MOST]]
    if isinstance(value, str):
        return _bare_text(value)
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= 10_000_000 and value not in _TIMES:
        return value % 100_000
    return value


def _bare_text(text: str) -> str:
    if "://" in text:
        return "https://example.com/sample"
    if "@" in text:
        return "someone@example.com"
    return "Sample" if re.search(r"\s|^\.+$", text) else text


def main(samples: str, api: str) -> None:
    """Write `samples.json` beside this file."""
    facts = extract(json.loads(Path(samples).read_bytes()), json.loads(Path(api).read_bytes()))
    lines = [
        f"{json.dumps(part)}: {{\n" + ",\n".join(_line(*entry) for entry in entries.items()) + "\n}" for part, entries in facts.items()
    ]
    _FILE.write_text("{\n" + ",\n".join(lines) + "\n}\n")


def _line(key: str, value: Any) -> str:
    return f"{json.dumps(key)}: {json.dumps(value, separators=(',', ':'))}"


if __name__ == "__main__":
    main(*sys.argv[1:])
