"""A full disk, a file that was taken away, damaged or made read-only: said in one sentence, and what was stored before is there."""

import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from equality import differences, rows
from mirroring import NOW
from warehouse.test_writer import CATALOG, deliver, page

from stripe_assets.errors import WarehouseError
from stripe_assets.simulator.account import Account
from stripe_assets.simulator.server import Serving, serving
from stripe_assets.warehouse.database import Database

TYPES = ("charges", "customers", "invoices")
SYNC = """
import asyncio, resource, sys
from pathlib import Path
from stripe_assets.errors import MirrorError
from stripe_assets.limits.guard import InProcess
from stripe_assets.sync.engine import Mirror
from stripe_assets.sync.settings import Settings
url, path, most = sys.argv[1:]
if int(most):
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(most), int(most)))  # no file may grow beyond: as on a disk that is full
settings = Settings(api_key="sk_test_simulator", api_base=url, duckdb=Path(path))
try:
    summary = asyncio.run(Mirror(settings, sharing=lambda _allowance: InProcess()).sync(%r, full_refresh=bool(int(most))))
    print("complete" if summary.complete else summary)
except MirrorError as error:
    print(error)
"""
SHUT = """
import os
from pathlib import Path
from stripe_assets.errors import MirrorError
from stripe_assets.warehouse.database import Database
from warehouse.test_writer import CATALOG, deliver, page
database = Database(Path("stripe.duckdb"))
os.chmod(".", 0o777)
database.prepare(CATALOG)
deliver(database, page("cus_1", cursor="cus_1"))
os.chmod("stripe.duckdb", 0o444)
if not os.geteuid():
    os.seteuid(65534)  # whom permissions are for
try:
    deliver(database, page("cus_2", cursor="cus_2"))
except MirrorError as error:
    print(error)
"""
ROOT = Path(__file__).parents[2]
BLOCK = 262_144
"""Bytes that DuckDB checks at a time."""


@pytest.fixture
def database(tmp_path: Path) -> Database:
    found = Database(tmp_path / "data" / "stripe.duckdb")
    found.path.parent.mkdir()
    found.prepare(CATALOG)
    return found


def sync(server: Serving, path: Path, *, most: int = 0) -> str:
    """Sync in a process of its own, which may write files of so many bytes at most; give what it says in the end."""
    command = [sys.executable, "-c", SYNC % (TYPES,), server.url, str(path), str(most)]
    return subprocess.check_output(command, env={**os.environ, "PYTHONPATH": str(ROOT)}, text=True, timeout=60).strip()


def stored(path: Path) -> list[tuple[Any, ...]]:
    return rows(path, "select id from stripe.customers order by 1") + rows(path, "select cursor from stripe_sync.slices")


@pytest.mark.parametrize("room", [0, 600_000])
def test_full_disk_is_told_and_the_next_run_with_room_goes_on(tmp_path: Path, room: int) -> None:
    """Nothing that was there is lost, whichever write was the one that found no room."""
    path = tmp_path / "stripe.duckdb"
    account = Account(seed=3, customers=150, now=NOW)
    with serving(account) as server:
        assert sync(server, path) == "complete"
        said = sync(server, path, most=path.stat().st_size + room)
        assert said.startswith(f"{path} ") and said.endswith("make room there, then run again; what was stored before is intact")
        assert len(said.splitlines()) == 1
        assert differences(path, account, types=TYPES) == []
        account.edit("customer", account.objects("customer")[0]["id"], name="later")
        assert sync(server, path) == "complete"
        assert differences(path, account, types=TYPES) == []


@pytest.mark.parametrize("what", ["folder", "file"])
def test_file_that_was_taken_away_in_the_middle_is_missed_and_not_made_anew(database: Database, what: str) -> None:
    """A new one would have the rows that come from then on, and be taken for the mirror."""
    deliver(database, page("cus_1", cursor="cus_1"))
    place = database.path.parent if what == "folder" else database.path
    aside = database.path.parent.with_name("aside")
    shutil.move(place, aside)
    with pytest.raises(WarehouseError, match="not there any more: it was taken away while it was in use: put it back"):
        deliver(database, page("cus_2", cursor="cus_2"))
    assert not database.path.exists()
    shutil.move(aside, place)
    deliver(database, page("cus_2", cursor="cus_2"))
    assert stored(database.path) == [("cus_1",), ("cus_2",), ("cus_2",)]


def test_file_that_was_taken_away_between_two_runs_is_made_anew(database: Database) -> None:
    """Whoever deletes it wants to begin again; a process that stays may do both runs."""
    deliver(database, page("cus_1", cursor="cus_1"))
    database.path.unlink()
    database.prepare(CATALOG)
    deliver(database, page("cus_2", cursor="cus_2"))
    assert stored(database.path) == [("cus_2",), ("cus_2",)]


def test_damage_anywhere_in_the_file_is_told_or_touches_nothing(database: Database) -> None:
    """Every block has a checksum: there is no byte whose change could pass for a value."""
    deliver(database, page(*(f"cus_{number}" for number in range(3000)), cursor="cus_2999"))
    whole, expected, told, refused = database.path.read_bytes(), stored(database.path), 0, 0
    for at in range(100, len(whole), BLOCK // 8):
        database.path.write_bytes(whole[:at] + bytes(255 - byte for byte in whole[at : at + 64]) + whole[at + 64 :])
        try:
            deliver(database, page("cus_0", cursor="cus_2999"))
            found = stored(database.path)
        except WarehouseError as error:
            refused += 1
            told += str(error).endswith(
                "it is damaged: put a copy of it in its place, or remove it and sync anew, as Stripe has all that was in it"
            )
        else:
            assert found == expected
    assert told == refused > 20
    database.path.write_bytes(whole)
    deliver(database, page("cus_0", cursor="cus_2999"))
    assert stored(database.path) == expected


def test_file_that_was_cut_off_is_told(database: Database) -> None:
    deliver(database, page(*(f"cus_{number}" for number in range(3000)), cursor="cus_2999"))
    os.truncate(database.path, database.path.stat().st_size // 2)
    with pytest.raises(WarehouseError, match="it is damaged: put a copy of it in its place, or remove it and sync anew"):
        deliver(database, page(*(f"cus_{number}" for number in range(3000)), cursor="cus_2999"))


def test_file_that_was_made_read_only_in_the_middle_is_told_and_intact(tmp_path: Path) -> None:
    places = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}"}
    said = subprocess.check_output([sys.executable, "-c", SHUT], cwd=tmp_path, env=places, text=True, timeout=60)
    assert said.startswith("stripe.duckdb cannot be used") and "Permission denied" in said and said.endswith("mend its permissions\n")
    (tmp_path / "stripe.duckdb").chmod(stat.S_IRUSR | stat.S_IWUSR)
    assert stored(tmp_path / "stripe.duckdb") == [("cus_1",), ("cus_1",)]
