"""The generated part of the dbt project and the catalog say the same."""

import re
from pathlib import Path

import pytest

from stripe_assets import dbt_generate
from stripe_assets.catalog.types import Column, Kind, ObjectType, load


def test_committed_files_are_what_the_catalog_generates() -> None:
    """A changed catalog without `python -m stripe_assets.dbt_generate` leaves models that lack the new columns."""
    assert dbt_generate.differing(load(), dbt_generate.PROJECT) == []


def test_check_names_what_differs_and_write_mends_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Missing, edited and left-over files are each named; writing removes what no type asks for any more."""
    assert dbt_generate.main([], project=tmp_path) == 0
    staging = tmp_path / "models/staging"
    (staging / "stg_stripe__charges.sql").unlink()
    (staging / "sources.yml").write_text("edited")
    (staging / "stg_stripe__gone.sql").write_text("select 1")
    capsys.readouterr()

    assert dbt_generate.main(["--check"], project=tmp_path) == 1
    assert capsys.readouterr().out.splitlines() == [
        f"dbt/models/staging/{name} differs from the catalog" for name in ("sources.yml", "stg_stripe__charges.sql", "stg_stripe__gone.sql")
    ]
    assert dbt_generate.main([], project=tmp_path) == 0
    assert dbt_generate.main(["--check"], project=tmp_path) == 0
    assert not (staging / "stg_stripe__gone.sql").exists()


@pytest.mark.parametrize("kind", list(load()), ids=lambda kind: kind.name)
def test_staging_takes_every_column_of_the_catalog_and_no_other(kind: ObjectType) -> None:
    """Read from the SQL itself: a column that Stripe does not have breaks the build, one left out is missed by nobody."""
    sql = (dbt_generate.PROJECT / f"models/staging/stg_stripe__{kind.name}.sql").read_text()
    chosen = re.findall(r"^        (?:\w+\()?\"?(\w+)[^,]*(?:, 12\)\))?.*,$", sql, re.MULTILINE)
    own = {"_account_id", "_synced_at", "_deleted_at"}
    assert set(chosen) - own == {column.name for column in kind.columns} - {"object"}
    assert own <= set(chosen)


def test_names_in_staging_tell_what_a_column_holds() -> None:
    """Ids, times, flags and amounts are told by their names; plain numbers are left alone."""
    invoices = load()["invoices"]
    names = {
        ("id", Kind.TEXT): "invoice_id",
        ("customer", Kind.ID): "customer_id",
        ("created", Kind.TIMESTAMP): "created_at",
        ("available_on", Kind.TIMESTAMP): "available_at",
        ("due_date", Kind.TIMESTAMP): "due_at",
        ("livemode", Kind.BOOLEAN): "is_livemode",
        ("amount_due", Kind.INTEGER): "amount_due_minor",
        ("attempt_count", Kind.INTEGER): "attempt_count",
        ("account", Kind.ID): "invoice_account_id",
        ("metadata", Kind.JSON): "metadata",
    }
    assert {given: dbt_generate.staged(invoices, Column(*given))[1] for given in names} == names
