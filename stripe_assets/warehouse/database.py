"""Opens the mirror's file for as long as something is written or read, and says plainly why it cannot.

DuckDB lets only one process have a file open for writing, and no other reads it meanwhile: hold it briefly. What is
written belongs in `load` and `ledger`.
"""

import logging
import re
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Lock

import duckdb
from filelock import FileLock, Timeout

from stripe_assets.catalog.types import Catalog
from stripe_assets.errors import WarehouseBusy, WarehouseError, WarehouseNewer
from stripe_assets.warehouse import migrations
from stripe_assets.warehouse.books import VERSION
from stripe_assets.warehouse.private import NOTHING_PRIVATE, Private, note
from stripe_assets.warehouse.tables import literal

log = logging.getLogger(__name__)

WAIT = 120.0
"""Seconds to wait for a process that has the file open."""
GLANCE = 0.05
"""Seconds between two looks whether the file is free; opening it takes 5 ms (measured 2026-11)."""
FULL = ("No space left on device", "File too large", "Disk quota exceeded")
DAMAGED = ("Corrupt database file", "Could not read enough bytes")
SHUT = ("Permission denied", "Read-only file system")
"""How DuckDB says that a disk is full, that a file is not what it has written, and that it may not write it (2.0, tried 2026-11)."""
GONE = "it was taken away while it was in use: put it back, or run again to sync anew"
CONFIG: dict[str, str | bool | int | float | list[str]] = {
    # What DuckDB may take before it spills to disk; a chunk of 32 MB of JSON stays well below.
    "memory_limit": "450MB",
    "preserve_insertion_order": False,
    # Checkpoint at commit, which then writes no log first: 45 against 72 microseconds a charge (2026-11).
    "checkpoint_threshold": "1KB",
}


class Database:
    """The mirror's DuckDB file.

    It is attached under a name of ours, because DuckDB names a database after its file: in `stripe.duckdb`, the schema
    `stripe` would be ambiguous. One empty database in memory does the attaching: 5 ms, against 30 ms for a new one each
    time (measured 2026-11).
    """

    def __init__(self, path: Path, *, wait: float = WAIT) -> None:
        """Name the file, and how many seconds to wait while somebody else has it open."""
        self.path = path
        self.wait = wait
        self._instance: duckdb.DuckDBPyConnection | None = None
        self._turn = Lock()
        self._prepared = False

    @contextmanager
    def open(self, *, read_only: bool = False) -> Iterator[duckdb.DuckDBPyConnection]:
        """Give a connection, and give the file back at the end of the block. One block at a time.

        Raises `WarehouseBusy` when another process has kept the file for too long, `WarehouseError` when it cannot be
        used at all. What was not committed is rolled back.
        """
        with self._turn:
            if self._instance is None:
                # Beside the file, where there is room for a mirror: the default is a folder in whatever the present one is.
                self._instance = duckdb.connect(":memory:", config={**CONFIG, "temp_directory": f"{self.path}.tmp"})
            connection = self._instance.cursor()
            connection.execute("set timezone = 'UTC'")
            try:
                self._attach(connection, read_only=read_only)
                yield connection
            finally:
                self._release(connection)

    @contextmanager
    def only_sync(self) -> Iterator[None]:
        """Hold the right to sync into this file: one run at a time, given back even when the process is killed.

        Raises `WarehouseBusy` at once when another process has it.
        """
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise WarehouseError(
                f"the folder {self.path.parent} cannot be made ({error.strerror}): set STRIPE_DUCKDB to a place that can be written"
            ) from error
        lock = FileLock(f"{self.path}.sync")
        first = not Path(lock.lock_file).exists()
        try:
            lock.acquire(blocking=False)
        except Timeout as error:
            raise WarehouseBusy(f"another sync into {self.path} is under way{self._who()}: wait for its end, then run again") from error
        except OSError as error:
            raise WarehouseError(
                f"{self.path.parent} cannot be written ({error.strerror}): choose another file with STRIPE_DUCKDB, or mend its permissions"
            ) from error
        try:
            yield
        except WarehouseError:
            if first and not self._prepared:  # nobody syncs into what is refused: nothing of ours stays beside it
                Path(lock.lock_file).unlink(missing_ok=True)
            raise
        finally:
            lock.release()

    def _who(self) -> str:
        try:
            with Database(self.path, wait=1.0).open() as connection:
                row = connection.execute(
                    "select json_extract(details, '$.pid'), started_at from stripe_sync.runs where state = 'running'"
                ).fetchone()
        except (WarehouseError, duckdb.Error):
            return ""  # it is writing just now: who it is would be good to know, not more
        return f" (process {row[0]}, since {row[1]:%H:%M:%S} UTC)" if row else ""

    def prepare(self, catalog: Catalog, private: Private = NOTHING_PRIVATE) -> None:
        """Create what the file lacks: schemas, tables, columns of a newer API version; note what is `private` from now on.

        Raises `WarehouseNewer` for a file that a newer release has written, and `WarehouseError` for one with somebody
        else's tables; both are left as they are.
        """
        self._prepared = False
        with self.open() as connection:
            try:
                connection.execute("begin")
                if migrations.is_somebody_elses(connection):
                    raise WarehouseError(
                        f"{self.path} has a schema `stripe` that is somebody else's: "
                        "choose another file with STRIPE_DUCKDB, or rename that schema"
                    )
                self.refuse_newer(connection)
                new = not migrations.version(connection)
                changes = [*migrations.migrate(connection, catalog), *note(connection, private, new=new)]
                # Whoever prepares holds the right to sync: a run that never said how it ended was interrupted.
                connection.execute("update stripe_sync.runs set state = 'interrupted' where state = 'running'")
                connection.execute("commit")
            except duckdb.Error as error:
                raise WarehouseError(f"{self.path} cannot hold the mirror ({_first_line(error)}): {self._advice(error)}") from error
        self._prepared = True
        self._tell(changes)

    def refuse_newer(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Leave alone what only a newer release understands. Raises `WarehouseNewer`."""
        if (found := migrations.version(connection)) > VERSION:
            raise WarehouseNewer(
                f"{self.path} was written by a newer stripe-assets (format {found}, this one knows {VERSION}): "
                "upgrade, or choose another file with STRIPE_DUCKDB"
            )

    def _tell(self, changes: Iterable[migrations.Change]) -> None:
        """Log what was done to a file that was there before; where its rows want something done, as a warning."""
        for change in changes:
            if change.advice is not None:
                log.warning("%s: %s: %s; %s", self.path, change.subject, change.change, change.advice)
            else:
                log.info("%s: %s: %s", self.path, change.subject, change.change)

    def _attach(self, connection: duckdb.DuckDBPyConnection, *, read_only: bool) -> None:
        # With the type given, DuckDB does not fetch an extension to look into a file of another kind.
        option = f"type duckdb, {'read_only' if read_only else 'read_write'}"
        if self._prepared and not self.path.exists():  # a new one would have nothing of what this run has stored
            raise WarehouseError(f"{self.path} is not there any more: {GONE}")
        if not self.path.exists() and not read_only:
            # Readable by DuckDB 1.5 tools; 1.5 itself needs 'latest' or it stores zstd columns uncompressed.
            version = "v1.5.0" if duckdb.__version__ >= "2" else "latest"
            option += f", storage_version {literal(version)}"
        give_up_at = time.monotonic() + self.wait
        told = False
        while True:
            try:
                connection.execute(f"attach {literal(str(self.path))} as mirror ({option})")
                connection.execute("use mirror")
                return
            except duckdb.Error as error:
                here = "Unique file handle conflict" in str(error)
                if not here and "Could not set lock" not in str(error):
                    raise self._unusable(error) from error
                holder = re.search(r"Conflicting lock is held in (.+?) \(PID (\d+)\)", str(error))
                who = f"process {holder[2]} ({holder[1]})" if holder else "this process" if here else "another process"
                if time.monotonic() >= give_up_at:
                    message = f"{self.path} has been held by {who} for {self.wait:g} s: close it there and run again; nothing is lost"
                    raise WarehouseBusy(message) from error
                if not told:
                    log.warning("%s is held by %s; waiting up to %g s", self.path, who, self.wait)
                    told = True
            time.sleep(GLANCE)

    def _release(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Detach the file; after an error that DuckDB cannot recover from, give up the whole instance."""
        try:
            _roll_back(connection)
            connection.execute("use memory")
            connection.execute("detach database if exists mirror")
            connection.close()
        except duckdb.Error as error:
            log.warning("%s could not be detached (%s): starting afresh", self.path, error)
            connection.close()
            if self._instance is not None:
                self._instance.close()
            self._instance = None

    def replaced(self) -> WarehouseError:
        """Say that another file, an older copy say, was put in the place of the one that a run has begun with."""
        return WarehouseError(f"{self.path} is not the file that this run has begun with: run again, to go on from what is there now")

    def trouble(self, error: duckdb.Error) -> WarehouseError:
        """Say in one sentence why the file could not be written, and what to do about it."""
        return WarehouseError(f"{self.path} could not be written ({_first_line(error)}): {self._advice(error)}")

    def _unusable(self, error: duckdb.Error) -> WarehouseError:
        first = "it is a folder" if self.path.is_dir() else _first_line(error)
        return WarehouseError(f"{self.path} cannot be used as the mirror's DuckDB file ({first}): {self._advice(error)}")

    def _advice(self, error: duckdb.Error) -> str:
        text = str(error)
        if any(word in text for word in FULL):
            return "make room there, then run again; what was stored before is intact"
        if any(word in text for word in DAMAGED):
            return "it is damaged: put a copy of it in its place, or remove it and sync anew, as Stripe has all that was in it"
        if self._prepared and not self.path.exists():
            return GONE
        if self._prepared and not any(word in text for word in SHUT):
            return "run again; what was stored before is intact"
        return "choose another file with STRIPE_DUCKDB, or mend its permissions"


def _first_line(error: duckdb.Error) -> str:
    return str(error).splitlines()[0]


def _roll_back(connection: duckdb.DuckDBPyConnection) -> None:
    """End a transaction that was left open; there may be none."""
    with suppress(duckdb.TransactionException):
        connection.execute("rollback")
