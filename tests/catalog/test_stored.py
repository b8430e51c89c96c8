"""What a simulated account shows of every type fits into the type's table, and comes out of it as it was."""

import json
import re
from pathlib import Path

import duckdb
import msgspec
import pytest
from equality import differences, expected
from naive import Reader

from stripe_assets import dbt_generate
from stripe_assets.catalog.types import ObjectType, load
from stripe_assets.simulator.account import Account
from stripe_assets.simulator.http import application
from stripe_assets.warehouse.load import incoming, stage, upsert
from stripe_assets.warehouse.migrations import migrate

NOW = 1_790_000_123
KINDS = [kind for kind in load() if kind.has("id") and not kind.keyed_by_parent and not (kind.parent is not None and kind.parent.each)]
"""Types whose rows are known by their id alone, and whose only foreign column is the parent's: what `load` can store."""


@pytest.fixture(scope="module")
def account() -> Account:
    return Account(seed=4, customers=80, now=NOW)


@pytest.fixture(scope="module")
def database(account: Account, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Everything that can be read, loaded into a file as a sync would load it."""
    path = tmp_path_factory.mktemp("stored") / "stored.duckdb"
    found = Reader(application(account), load()).read()
    with duckdb.connect(str(path)) as connection:
        migrate(connection, load())
        for kind in KINDS:
            objects = [msgspec.Raw(json.dumps(thing).encode()) for _, thing in found[kind.name]]
            table = incoming(objects, [float(account.now)] * len(objects), [place for place, _ in found[kind.name]])
            upsert(connection, kind, stage(connection, kind, table, account_id=account.id, keep_raw=False))
    return path


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_table_holds_what_the_account_has(kind: ObjectType, database: Path, account: Account) -> None:
    """Decimals with all digits, times as times, references as ids, everything nested as JSON."""
    assert differences(database, account, catalog=load(), types=(kind.name,)) == []


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_staging_has_a_row_for_each_and_its_key_is_one(kind: ObjectType, database: Path, account: Account) -> None:
    """The generated dbt model of a type, over what the account shows of it."""
    query = re.sub(r"\{\{.*\}\}", f'stripe."{kind.name}"', dbt_generate.model(kind))
    key = ", ".join(dbt_generate.unique_columns(kind))
    with duckdb.connect(str(database), read_only=True) as connection:
        found = connection.execute(f"select count(*), count(distinct ({key})) from ({query})").fetchone()
    assert found == (len(expected(kind, account)),) * 2


def test_decimals_keep_their_digits(database: Path) -> None:
    """A price of a millionth of a cent is one in ten years of invoices: a DOUBLE would round it."""
    with duckdb.connect(str(database), read_only=True) as connection:
        found = connection.execute("select unit_amount_decimal from stripe.credit_note_lines").fetchall()
    assert found
    assert all(value.endswith(".000000000001") for (value,) in found)


def test_what_differs_is_named(database: Path, account: Account, tmp_path: Path) -> None:
    """A comparison that sees nothing is as quiet as a mirror that is right."""
    copy = tmp_path / "stored.duckdb"
    copy.write_bytes(database.read_bytes())
    with duckdb.connect(str(copy)) as connection:
        connection.execute("delete from stripe.quotes where id = (select min(id) from stripe.quotes)")
        first = "(select min(id) from stripe.treasury_transactions)"
        connection.execute(f"update stripe.treasury_transactions set amount = amount + 1 where id = {first}")
        connection.execute("update stripe.product_features set product_id = 'prod_other'")
        connection.execute(
            "insert into stripe.core_events (id, created, _account_id, _synced_at) values ('evt_x', now(), 'acct_other', now())"
        )
    found = differences(copy, account, catalog=load(), types=("quotes", "treasury_transactions", "product_features", "core_events"))
    assert sum(line.startswith("quotes") and line.endswith("missing") for line in found) == 1
    assert sum(line.startswith("treasury_transactions") and ".amount: " in line for line in found) == 1
    assert all("product_id: 'prod_other' instead of" in line for line in found if line.startswith("product_features"))
    assert sum(line.startswith("product_features") for line in found) == len(account.objects("product_feature"))
    assert "core_events evt_x: filed under acct_other" in found
    assert "core_events evt_x: not in the account" in found
