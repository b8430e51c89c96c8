"""A file of an older release, or of another API version, becomes what this release writes: all at once, and nothing in it is lost."""

import dataclasses
import json
import logging
import shutil
import subprocess
import sys
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import msgspec
import pytest
from equality import differences, rows
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mirroring import NOW, World

from stripe_assets.catalog.types import Catalog, Column, Kind, ObjectType, load
from stripe_assets.dbt_generate import model
from stripe_assets.simulator.account import Account
from stripe_assets.warehouse.books import MIGRATIONS, VERSION
from stripe_assets.warehouse.database import Database
from stripe_assets.warehouse.load import incoming, stage, upsert
from stripe_assets.warehouse.migrations import migrate
from stripe_assets.warehouse.tables import create_table

CUSTOMERS = load()["customers"]
CATALOG = Catalog(load().api_version, [CUSTOMERS], load().event_types)


def customers(*columns: tuple[str, Kind], api_version: str = CATALOG.api_version) -> Catalog:
    """Describe customers with these columns besides their id."""
    kind = dataclasses.replace(CUSTOMERS, columns=(Column("id", Kind.TEXT), *(Column(*column) for column in columns)))
    return Catalog(api_version, [kind], ())


def first_release(path: Path, catalog: Catalog = CATALOG) -> None:
    """Write a file as version 1 did, with a customer, a checkpoint and a run in it."""
    with duckdb.connect() as connection:
        connection.execute(f"attach '{path}' as old; use old; create schema stripe; create schema stripe_sync")
        for statement in (*MIGRATIONS[0], *map(create_table, catalog)):
            connection.execute(statement)
        connection.execute("insert into stripe_sync.versions values (1, ?)", [catalog.api_version])
        connection.execute("insert into stripe_sync.checkpoints values ('a', 'customers', 'complete', 5, 6, null, now(), now())")
        connection.execute("insert into stripe_sync.runs values ('run_1', now(), now(), 'complete', 1, 1, 0, 1.5, '{}')")
        connection.execute("insert into stripe_sync.run_types values ('run_1', 'a', 'customers', 'complete', 1, 1, 1.5, null, null)")
        connection.execute("insert into stripe.customers (id, _account_id, _synced_at) values ('cus_1', 'a', now())")


def contents(path: Path) -> dict[str, Any]:
    """Read the whole file: every table's columns and rows; of what was recorded, everything but the time."""
    with Database(path).open() as connection:
        names = connection.execute(
            "select schema_name || '.' || table_name from duckdb_tables() where database_name = 'mirror' order by 1"
        ).fetchall()
        found = {}
        for (name,) in names:
            described = connection.execute(f"select column_name, column_type from (describe {name})").fetchall()
            shown = "* exclude (made_at)" if name == "stripe_sync.migrations" else "*"
            found[name] = (described, connection.execute(f"select {shown} from {name}").fetchall())
        return found


def things(path: Path) -> list[tuple[str, Any]]:
    with Database(path).open() as connection:
        return connection.execute("select id, thing from stripe.customers order by id").fetchall()


def recorded(path: Path) -> list[tuple[str, str]]:
    with Database(path).open() as connection:
        return connection.execute("select subject, change from stripe_sync.migrations order by rowid").fetchall()


def test_file_of_the_first_release_becomes_like_a_new_one_and_keeps_what_it_holds(tmp_path: Path) -> None:
    """People's history of runs and positions must survive an upgrade: read from the start, everything would cost its requests again."""
    first_release(tmp_path / "old.duckdb")
    before = contents(tmp_path / "old.duckdb")
    for name in ("old", "new"):
        Database(tmp_path / f"{name}.duckdb").prepare(CATALOG)
    old, new = contents(tmp_path / "old.duckdb"), contents(tmp_path / "new.duckdb")
    assert {name: columns for name, (columns, _) in old.items()} == {name: columns for name, (columns, _) in new.items()}
    for name in ("stripe_sync.runs", "stripe_sync.checkpoints", "stripe.customers"):
        width = len(before[name][1][0])
        assert [row[:width] for row in old[name][1]] == before[name][1]
    assert old["stripe_sync.versions"][1][0][:2] == (VERSION, CATALOG.api_version)
    assert recorded(tmp_path / "old.duckdb") == [("stripe_sync", f"version 1 to {VERSION}")]
    assert rows(tmp_path / "old.duckdb", "select run_id, account_id from stripe_sync.runs") == [("run_1", "a")], "as its types say"


def test_up_to_date_file_is_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "stripe.duckdb"
    Database(path).prepare(CATALOG)
    written = path.read_bytes()
    Database(path).prepare(CATALOG)
    assert path.read_bytes() == written
    assert recorded(path) == []


class Stopped(Exception):
    """The process ended here."""


class Mortal:
    """A connection that ends with its process before its n-th statement: what is on the disk by then is copied."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, path: Path, copy: Path, statements: int) -> None:
        self._connection = connection
        self._path = path
        self._copy = copy
        self.left = statements

    def execute(self, *statement: Any) -> Any:
        if self.left == 0:
            self._copy.mkdir()
            for file in self._path.parent.glob(f"{self._path.name}*"):
                shutil.copy(file, self._copy)
            raise Stopped
        self.left -= 1
        return self._connection.execute(*statement)


KINDS = st.sampled_from([Kind.TEXT, Kind.INTEGER, Kind.NUMBER, Kind.BOOLEAN, Kind.TIMESTAMP, Kind.ID, Kind.JSON])
DESCRIPTIONS = st.dictionaries(st.sampled_from(["email", "balance", "created", "name"]), KINDS)


@settings(max_examples=10, deadline=None, print_blob=True)
@given(old=DESCRIPTIONS, new=DESCRIPTIONS, share=st.floats(0, 1))
def test_killed_before_any_statement_the_next_run_ends_as_if_nothing_had_happened(
    tmp_path_factory: pytest.TempPathFactory, old: dict[str, Kind], new: dict[str, Kind], share: float
) -> None:
    """Power fails during an upgrade as well: half of the columns added would be a file that no release understands."""
    folder = tmp_path_factory.mktemp("migrated")
    path, wanted = folder / "stripe.duckdb", customers(*new.items(), api_version="2030-01-01")
    first_release(path, customers(*old.items()))

    def migrated(statements: int) -> int:
        """Migrate at most so many statements, and give how many were not needed; what was done is not committed."""
        with Database(path).open() as connection:
            mortal = Mortal(connection, path, folder / "killed", statements)
            connection.execute("begin")
            migrate(mortal, wanted)  # type: ignore[arg-type]  # the real connection but for its end
            return mortal.left

    needed = 1000 - migrated(1000)
    with pytest.raises(Stopped):
        migrated(int(share * (needed - 1)))
    Database(path).prepare(wanted)
    Database(folder / "killed" / path.name).prepare(wanted)
    assert contents(folder / "killed" / path.name) == contents(path)
    assert ("API version", f"{CATALOG.api_version} to 2030-01-01") in recorded(path)


KILLED = """
import os, sys
from pathlib import Path
import duckdb
from stripe_assets.catalog.types import load
from stripe_assets.warehouse.database import Database
from stripe_assets.warehouse.migrations import migrate
class Mortal:
    def __init__(self, connection, left): self.connection, self.left = connection, left
    def execute(self, *statement):
        self.left -= 1
        os._exit(9) if self.left < 0 else None
        return self.connection.execute(*statement)
with Database(Path(sys.argv[1])).open() as connection:
    connection.execute("begin")
    migrate(Mortal(connection, int(sys.argv[2])), load())
"""


@pytest.mark.parametrize("statements", [8, 25])
def test_process_that_dies_while_it_migrates_leaves_a_file_that_the_next_one_finishes(tmp_path: Path, statements: int) -> None:
    path = tmp_path / "stripe.duckdb"
    first_release(path)
    before = contents(path)
    died = subprocess.run([sys.executable, "-c", KILLED, str(path), str(statements)], check=False)
    assert died.returncode == 9
    assert contents(path) == before
    Database(path).prepare(CATALOG)
    assert contents(path)["stripe_sync.versions"][1][0][0] == VERSION


NUMBERS = st.one_of(st.integers(-3, 3), st.integers(-(2**63), 2**63 - 1))
TEXTS = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=5),
    NUMBERS.map(str),
    st.sampled_from(["true", "12.7", "007", "2026-01-02T03:04:05.678Z", "2026-01-02", "infinity", '{"a":1}', '"x"', "null", "1e3", " 5"]),
)
TIMES = st.datetimes(datetime(1900, 1, 1), datetime(2200, 1, 1)).map(lambda moment: moment.replace(tzinfo=UTC))
VALUES: dict[Kind, st.SearchStrategy[Any]] = {
    Kind.TEXT: TEXTS,
    Kind.INTEGER: NUMBERS,
    Kind.NUMBER: st.one_of(st.floats(allow_nan=False, allow_infinity=False), NUMBERS.map(float)),
    Kind.BOOLEAN: st.booleans(),
    Kind.TIMESTAMP: st.one_of(TIMES, TIMES.map(lambda moment: moment.replace(microsecond=0))),
    Kind.JSON: st.one_of(TEXTS, NUMBERS, st.booleans(), st.lists(NUMBERS), st.dictionaries(st.text("ab."), TEXTS)).map(json.dumps),
}
COLUMN = st.sampled_from(list(VALUES)).flatmap(lambda kind: st.tuples(st.just(kind), st.lists(st.none() | VALUES[kind], max_size=4)))


def meaning(value: Any, kind: Kind) -> Any:
    """Give what a value says, whatever the type that it is kept in: a number, a text, a truth, or a structure."""
    if kind is Kind.JSON and isinstance(value, str):
        return json.loads(value)
    if isinstance(value, datetime):
        return (value - datetime(1970, 1, 1, tzinfo=UTC)) / timedelta(seconds=1)
    return value


def says(kept: Any, original: Any) -> bool:
    """Whether a kept value still says what the original one said, in its own or in another form of writing."""
    if type(kept) is type(original) or {type(kept), type(original)} <= {int, float, bool}:
        return bool(kept == original)
    text, other = (kept, original) if isinstance(kept, str) else (original, kept)
    if not isinstance(text, str):
        return False
    forms = {str(other), str(other).lower(), json.dumps(other)}
    with suppress(ValueError):
        forms.add(text if datetime.fromisoformat(text).timestamp() == other else "")
    return text in forms or json.loads(text) == other


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], print_blob=True)
@given(column=COLUMN, wanted=st.sampled_from(list(VALUES)))
def test_column_that_is_described_with_another_type_keeps_every_value(
    connection: duckdb.DuckDBPyConnection, column: tuple[Kind, list[Any]], wanted: Kind
) -> None:
    """Descriptions get corrected; an amount that is rounded by it, or gone, cannot be read again where Stripe has dropped it."""
    kind, values = column
    connection.execute("drop table stripe.customers")
    migrate(connection, customers(("thing", kind)))
    insert = "insert into stripe.customers (id, thing, _account_id, _synced_at) values (?, ?, 'a', now())"
    for number, value in enumerate(values):
        connection.execute(insert, [str(number), value])
    described = "select column_type from (describe stripe.customers) where column_name = 'thing'"
    (before,) = connection.execute(described).fetchall()
    changes = migrate(connection, customers(("thing", wanted)))
    (after,) = connection.execute(described).fetchall()
    # Python has no times before the year 1.
    shown = "epoch_us(thing) / 1e6" if after == ("TIMESTAMP WITH TIME ZONE",) else "thing"
    rows = connection.execute(f"select {shown} from stripe.customers order by id").fetchall()
    kept_as = wanted if after != ("VARCHAR",) else Kind.TEXT
    for (kept,), original in zip(rows, values, strict=True):
        assert (kept is None) == (original is None)
        if kept is not None and kept_as is Kind.TEXT and kind is Kind.JSON:
            assert kept == original or kept == json.loads(original)
        elif kept is not None:
            assert says(meaning(kept, kept_as), meaning(original, kind)), (kept, original)
    assert bool(changes) == (after != before)


def put(path: Path, catalog: Catalog, *things: dict[str, Any]) -> None:
    with Database(path).open() as connection:
        raws = [msgspec.Raw(msgspec.json.encode(thing)) for thing in things]
        given = incoming(raws, [1000.0] * len(raws), [None] * len(raws))
        kind: ObjectType = catalog["customers"]
        upsert(connection, kind, stage(connection, kind, given, account_id="a", keep_raw=False))


def test_column_that_is_kept_as_text_takes_new_values_and_gets_its_type_once_all_fit(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """One value that does not fit must neither be lost nor stand in the way for ever; and whoever reads the log knows what to do."""
    path, old, new = tmp_path / "stripe.duckdb", customers(("thing", Kind.TEXT)), customers(("thing", Kind.INTEGER))
    Database(path).prepare(old)
    put(path, old, {"id": "cus_1", "thing": "many"}, {"id": "cus_2", "thing": "2"})
    with caplog.at_level(logging.WARNING):
        Database(path).prepare(new)
    assert caplog.text == "", "text stays text: nothing was done"
    put(path, new, {"id": "cus_3", "thing": 3})
    Database(path).prepare(new)
    assert things(path) == [("cus_1", "many"), ("cus_2", "2"), ("cus_3", "3")]
    put(path, new, {"id": "cus_1", "thing": 1})
    Database(path).prepare(new)
    assert things(path) == [("cus_1", 1), ("cus_2", 2), ("cus_3", 3)]
    assert recorded(path) == [("stripe.customers.thing", "varchar to bigint")]


def test_column_that_becomes_text_is_told_of_with_what_to_do(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path, old, new = tmp_path / "stripe.duckdb", customers(("thing", Kind.NUMBER)), customers(("thing", Kind.INTEGER))
    Database(path).prepare(old)
    put(path, old, {"id": "cus_1", "thing": 1.5})
    with caplog.at_level(logging.WARNING):
        Database(path).prepare(new)
    assert things(path) == [("cus_1", "1.5")]
    assert "stripe.customers.thing: double to varchar" in caplog.text
    assert "--full-refresh" in caplog.text


def test_column_that_is_no_longer_described_keeps_its_values(tmp_path: Path) -> None:
    path, old, new = tmp_path / "stripe.duckdb", customers(("balance", Kind.INTEGER), ("email", Kind.TEXT)), customers(("email", Kind.TEXT))
    Database(path).prepare(old)
    put(path, old, {"id": "cus_1", "balance": 5, "email": "a"})
    Database(path).prepare(new)
    put(path, new, {"id": "cus_2", "balance": 6, "email": "b"})
    with Database(path).open() as connection:
        found = connection.execute("select id, balance, email from stripe.customers order by 1").fetchall()
    assert found == [("cus_1", 5, "a"), ("cus_2", None, "b")]


def test_view_works_again_after_its_column_was_dropped_by_hand(tmp_path: Path) -> None:
    """dbt's staging views name every column of the description."""
    path = tmp_path / "stripe.duckdb"
    Database(path).prepare(CATALOG)
    with Database(path).open() as connection:
        connection.execute("create view staged as select id, email from stripe.customers; alter table stripe.customers drop column email")
    put(tmp_path / "stripe.duckdb", customers(), {"id": "cus_1"})
    Database(path).prepare(CATALOG)
    with Database(path).open() as connection:
        assert connection.execute("select * from staged").fetchall() == [("cus_1", None)]
    assert recorded(path) == [("stripe.customers.email", "added as varchar")]


def test_other_api_version_is_noticed_recorded_and_told_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Rows of two shapes in one table are no secret: it is said from when on the shape is another, and how all get the new one."""
    path = tmp_path / "stripe.duckdb"
    for expected in (0, 1, 0):
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            Database(path).prepare(customers(api_version="2030-01-01") if path.exists() else CATALOG)
        assert len(caplog.records) == expected
        assert "--full-refresh" in caplog.text or not expected
    assert ("API version", f"{CATALOG.api_version} to 2030-01-01") in recorded(path)
    assert contents(path)["stripe_sync.versions"][1][0][1] == "2030-01-01"


def test_newer_description_between_two_syncs_adds_its_columns_and_keeps_the_history(tmp_path: Path) -> None:
    """The whole way: a first sync, an upgrade that dies in the middle of the migration, and the sync after it."""
    old, new = described(without={"email", "balance"}, api_version="2020-01-01"), described()
    here = World(tmp_path / "stripe.duckdb", Account(seed=3, customers=20, now=NOW), catalog=old)
    here.sync()
    gone, edited, same = (thing["id"] for thing in here.account.objects("customer")[:3])
    here.account.delete("customer", gone)
    here.sync()
    staging = "create schema staging; create view staging.stg_stripe__customers as "
    with Database(here.database).open() as connection:
        connection.execute(staging + staging_model(old))
    before = rows(here.database, "select id, name, _deleted_at from stripe.customers order by id")
    died = subprocess.run([sys.executable, "-c", KILLED, str(here.database), "8"], check=False)
    assert died.returncode == 9
    assert rows(here.database, "select id, name, _deleted_at from stripe.customers order by id") == before
    here.account.advance(1)
    here.account.edit("customer", edited, balance=7)
    here.catalog = new
    assert here.sync().complete
    assert set(before) <= set(rows(here.database, "select id, name, _deleted_at from stripe.customers"))
    assert rows(here.database, f"select balance from stripe.customers where id = '{edited}'") == [(7,)]
    assert (gone,) in rows(here.database, "select customer_id from staging.stg_stripe__customers where is_deleted")
    assert ("stripe.customers.balance", "added as bigint") in recorded(here.database)
    assert ("API version", f"2020-01-01 to {new.api_version}") in recorded(here.database)
    with Database(here.database).open() as connection:
        connection.execute("create or replace view staging.stg_stripe__customers as " + staging_model(new))
    here.sync(full_refresh=True)
    assert rows(here.database, f"select email is not null from staging.stg_stripe__customers where customer_id = '{same}'") == [(True,)]
    assert differences(here.database, here.account, catalog=new) == []
    here.catalog = old
    assert here.sync(full_refresh=True).complete
    assert len(rows(here.database, "select email from staging.stg_stripe__customers")) >= len(before)


def described(*, without: frozenset[str] | set[str] = frozenset(), api_version: str = CATALOG.api_version) -> Catalog:
    """Describe customers as they are but for these columns, and their events."""
    kind = dataclasses.replace(CUSTOMERS, columns=tuple(column for column in CUSTOMERS.columns if column.name not in without))
    return Catalog(api_version, [kind], load().event_types)


def staging_model(catalog: Catalog) -> str:
    """Write the view that dbt makes of its staging model of customers."""
    return model(catalog["customers"]).replace("{{ source('stripe', 'customers').include(database=false) }}", "stripe.customers")


def test_view_of_a_column_that_got_another_type_works_again(tmp_path: Path) -> None:
    """Its reader should not have to know that a description was corrected; dbt makes the view anew only when it runs."""
    path, old, new = tmp_path / "stripe.duckdb", customers(("thing", Kind.TEXT)), customers(("thing", Kind.INTEGER))
    Database(path).prepare(old)
    put(path, old, {"id": "cus_1", "thing": "5"})
    with Database(path).open() as connection:
        connection.execute("create view staged as with source as (select * from stripe.customers) select id, thing from source")
    Database(path).prepare(new)
    with Database(path).open() as connection:
        assert connection.execute("select * from staged").fetchall() == [("cus_1", 5)]
