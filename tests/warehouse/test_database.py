"""The file is held briefly, waited for with its holder named, and refused in one clear sentence where it cannot be used."""

import dataclasses
import logging
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb
import pytest

from stripe_assets.catalog.types import Catalog, load
from stripe_assets.errors import WarehouseBusy, WarehouseError
from stripe_assets.warehouse.books import VERSION
from stripe_assets.warehouse.database import Database
from stripe_assets.warehouse.ledger import Ledger
from stripe_assets.warehouse.tables import table

SMALL = Catalog(load().api_version, [load()["customers"], load()["payment_methods"]], load().event_types)
"""Two types: what holds for their tables holds for all."""

HOLD = """
import sys, duckdb
held = duckdb.connect(sys.argv[1])
print("held", flush=True)
sys.stdin.readline()
"""
SYNC = """
import sys
from pathlib import Path
from stripe_assets.warehouse.database import Database
from stripe_assets.warehouse.ledger import Ledger
with Database(Path(sys.argv[1])).only_sync():
    print("held", flush=True)
    sys.stdin.readline()
"""


@contextmanager
def other_process(script: str, path: Path) -> Iterator[subprocess.Popen[str]]:
    """Run a script in another process until it holds what it came for; it ends when its standard input does."""
    process = subprocess.Popen([sys.executable, "-c", script, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin is not None and process.stdout is not None
    try:
        assert process.stdout.readline() == "held\n"
        yield process
    finally:
        process.stdin.close()
        process.wait(timeout=20)
        process.stdout.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Its name is also its schema's: a plain connection to it could not tell the two apart."""
    return tmp_path / "stripe.duckdb"


def prepared(path: Path, *, wait: float = 20.0) -> Database:
    database = Database(path, wait=wait)
    database.prepare(SMALL)
    return database


def test_new_file_has_a_table_for_each_type_and_the_books(path: Path) -> None:
    database = prepared(path)
    database.prepare(SMALL)
    with database.open(read_only=True) as connection:
        found = connection.execute("select table_schema || '.' || table_name from information_schema.tables order by 1").fetchall()
    books = ["changes", "checkpoints", "dead_letters", "migrations", "pending", "run_types", "runs", "schema_changes", "slices", "versions"]
    assert [name for (name,) in found] == ["stripe.customers", "stripe.payment_methods", *(f"stripe_sync.{name}" for name in books)]


def test_other_processes_can_read_the_file_between_two_openings(path: Path) -> None:
    """Dashboards and dbt live on the same file."""
    database = prepared(path)
    with database.open() as connection:
        connection.execute("begin; insert into stripe.customers (id, _account_id, _synced_at) values ('cus_1', 'a', now()); commit")
    script = (
        "import duckdb, sys; print(duckdb.connect(sys.argv[1], read_only=True).sql('select id from stripe.stripe.customers').fetchall())"
    )
    seen = subprocess.run([sys.executable, "-c", script, str(path)], capture_output=True, text=True, check=True)
    assert seen.stdout == "[('cus_1',)]\n"


def test_what_was_not_committed_is_rolled_back(path: Path) -> None:
    database = prepared(path)
    insert = "begin; insert into stripe.customers (id, _account_id, _synced_at) values ('cus_1', 'a', now()); select error('in the middle')"
    with pytest.raises(duckdb.Error, match="in the middle"), database.open() as connection:
        connection.execute(insert)
    with database.open() as connection:
        assert connection.execute("select count(*) from stripe.customers").fetchall() == [(0,)]


def test_file_that_another_process_holds_is_waited_for_and_its_pid_logged(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A report that runs a minute into the night must not cost the night's sync."""
    database = prepared(path)
    with other_process(HOLD, path) as holder:
        assert holder.stdin is not None
        with caplog.at_level(logging.WARNING), pytest.raises(WarehouseBusy), Database(path, wait=0.0).open():
            pass
        assert caplog.text == "", "nothing was waited for"
        holder.stdin.close()  # it ends within the wait
        with caplog.at_level(logging.WARNING), database.open() as connection:
            assert connection.execute("select 1").fetchall() == [(1,)]
    assert [record.getMessage() for record in caplog.records if f"process {holder.pid}" not in record.getMessage()] == []


def test_file_that_stays_held_is_given_up_with_its_holder_named_and_logged_once(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    prepared(path)
    with (
        other_process(HOLD, path) as holder,
        caplog.at_level(logging.WARNING),
        pytest.raises(WarehouseBusy, match=rf"held by process {holder.pid} .* nothing is lost"),
        Database(path, wait=0.3).open(),
    ):
        pass
    assert len(caplog.records) == 1
    assert f"process {holder.pid}" in caplog.records[0].getMessage()


def test_file_that_this_process_holds_by_another_connection_is_waited_for_as_well(path: Path) -> None:
    """A notebook or a check that reads in the same process is no reason to call the file unusable."""
    prepared(path)
    with (
        duckdb.connect(str(path)),
        pytest.raises(WarehouseBusy, match="held by this process for 0 s"),
        Database(path, wait=0.0).open(),
    ):
        pass
    with Database(path).open() as connection:
        assert connection.execute("select 1").fetchall() == [(1,)]


def test_only_one_process_syncs_into_a_file_and_its_death_frees_it(path: Path) -> None:
    """Two syncs would read everything twice and step on each other's positions; a lock that outlives its holder is worse."""
    database = prepared(path)
    with other_process(SYNC, path) as holder:
        with pytest.raises(WarehouseBusy, match=r"another sync into .* is under way"), database.only_sync():
            pass
        holder.kill()
        holder.wait(timeout=20)
        with database.only_sync():
            pass


def test_only_one_sync_of_a_process_has_the_file(path: Path) -> None:
    with (
        prepared(path).only_sync(),
        pytest.raises(WarehouseBusy, match="wait for its end, then run again"),
        Database(path).only_sync(),
    ):
        pass


def test_the_other_sync_is_named_by_its_process(path: Path) -> None:
    database = prepared(path)
    with database.open() as connection:
        columns = "(run_id, started_at, state, details)"
        values = "('r', '2026-11-20 10:00:00Z', 'running', '{\"pid\": 4711}')"
        connection.execute(f"insert into stripe_sync.runs {columns} values {values}")
    with database.only_sync(), pytest.raises(WarehouseBusy, match=r"\(process 4711, since 10:00:00 UTC\)"), Database(path).only_sync():
        pass


@pytest.mark.parametrize("content", [b"", b"id,amount\nch_1,5\n", b"SQLite format 3\x00" + b"\x00" * 5000, b"\x00" * 20_000])
def test_file_that_is_no_database_is_refused_untouched(path: Path, content: bytes) -> None:
    """Somebody's file must survive a mistyped setting."""
    path.write_bytes(content)
    with pytest.raises(WarehouseError, match="choose another file with STRIPE_DUCKDB"):
        prepared(path)
    assert path.read_bytes() == content


def test_database_with_other_tables_named_stripe_is_left_alone(path: Path) -> None:
    """Other loaders use the same schema: columns added to their tables would be the smallest harm."""
    with duckdb.connect(str(path)) as connection:
        connection.execute('create schema stripe; create table "stripe"."stripe".customers (id integer)')
    with pytest.raises(WarehouseError, match="somebody else's"):
        prepared(path)
    with duckdb.connect(str(path)) as connection:
        columns = connection.execute("select column_name from information_schema.columns where table_schema = 'stripe'").fetchall()
    assert columns == [("id",)]


def test_database_with_other_schemas_is_welcome(path: Path) -> None:
    with duckdb.connect(str(path)) as connection:
        connection.execute("create schema crm; create table crm.people (id integer)")
    with prepared(path).open() as connection:
        assert connection.execute("select count(*) from crm.people").fetchall() == [(0,)]


def test_folder_in_place_of_the_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WarehouseError, match="it is a folder"):
        prepared(tmp_path)


def test_place_below_a_file_is_refused(tmp_path: Path) -> None:
    """Neither the folder nor the lock beside the mirror can be made there."""
    (tmp_path / "file").write_text("")
    database = Database(tmp_path / "file" / "below" / "stripe.duckdb")
    with pytest.raises(WarehouseError, match=r"cannot be made .* STRIPE_DUCKDB"), database.only_sync():
        pass
    with pytest.raises(WarehouseError, match="STRIPE_DUCKDB"):
        database.prepare(SMALL)


def test_missing_folder_is_made(tmp_path: Path) -> None:
    database = Database(tmp_path / "new" / "folder" / "stripe.duckdb")
    with database.only_sync():
        database.prepare(SMALL)
    assert database.path.exists()


def test_file_of_a_newer_release_is_refused_untouched(path: Path) -> None:
    """What a newer release has written, this one might understand wrongly."""
    with prepared(path).open() as connection:
        connection.execute("update stripe_sync.versions set books = books + 1; alter table stripe.customers drop column email")
    written = path.read_bytes()
    with pytest.raises(WarehouseError, match=rf"newer stripe-assets \(format {VERSION + 1}, this one knows {VERSION}\): upgrade"):
        prepared(path)
    assert path.read_bytes() == written
    assert sorted(file.name for file in path.parent.iterdir()) == [path.name]


def test_run_that_never_said_how_it_ended_was_interrupted(path: Path) -> None:
    """Whoever prepares the file is the only one that syncs into it: nobody else can be under way."""
    database = Database(path)
    database.prepare(load())
    with database.open() as connection:
        Ledger(connection, "acct_1").begin_run("run_1")
    database.prepare(load())
    with database.open(read_only=True) as connection:
        assert connection.execute("select run_id, state from stripe_sync.runs").fetchall() == [("run_1", "interrupted")]


def test_columns_of_a_newer_api_version_are_added_and_rows_kept(path: Path) -> None:
    kind = SMALL["customers"]
    old = Catalog(
        "2020-01-01", [dataclasses.replace(kind, columns=tuple(column for column in kind.columns if column.name in ("id", "created")))], ()
    )
    database = Database(path)
    database.prepare(old)
    with database.open() as connection:
        connection.execute("insert into stripe.customers (id, _account_id, _synced_at) values ('cus_1', 'a', now())")
        connection.execute("alter table stripe.customers drop column _raw")
    database.prepare(SMALL)
    with database.open() as connection:
        assert connection.execute("select id, email, metadata, _raw from stripe.customers").fetchall() == [("cus_1", None, None, None)]
        described = connection.execute(f"select column_name, column_type from (describe {table(kind)})").fetchall()
    with prepared(path.with_name("new.duckdb")).open() as connection:
        assert sorted(described) == sorted(connection.execute(f"select column_name, column_type from (describe {table(kind)})").fetchall())


def test_what_does_not_fit_into_memory_is_spilled_beside_the_file(path: Path) -> None:
    """The working folder of a nightly job may be `/`, or somebody's project."""
    with prepared(path).open() as connection:
        assert connection.execute("select current_setting('temp_directory')").fetchall() == [(f"{path}.tmp",)]


def test_every_message_is_one_sentence_without_a_trace(path: Path) -> None:
    path.write_bytes(b"no database at all" * 1000)
    with pytest.raises(WarehouseError) as refused:
        prepared(path)
    assert re.fullmatch(r"[^\n]+", str(refused.value))
