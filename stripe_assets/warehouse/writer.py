"""Stores what the sync delivers: in chunks, each one transaction with the progress that it stands for.

The file is open only while a chunk is written. Database work runs on one thread of its own, so that the event loop goes
on reading meanwhile. How rows are made belongs in `load`, what progress means in `ledger`.
"""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import chain
from typing import TypeGuard, TypeVar

import duckdb
import pyarrow as pa

from stripe_assets.catalog.types import Catalog, Fresh, ObjectType
from stripe_assets.queues.channel import Channel
from stripe_assets.warehouse import load
from stripe_assets.warehouse.changes import Verdicts, forget_applied, forget_of_deleted, kinds_changed, store_events
from stripe_assets.warehouse.database import Database
from stripe_assets.warehouse.deliveries import Changes, Delivery, Gone, ListDone, Objects, PendingProgress, SliceProgress
from stripe_assets.warehouse.families import Family, forget_orphans
from stripe_assets.warehouse.ledger import Ledger
from stripe_assets.warehouse.misfits import Fitting, Misfit
from stripe_assets.warehouse.private import NOTHING_PRIVATE, Private
from stripe_assets.warehouse.tables import literal, moment, received

CHUNK = 32_000_000
"""Bytes of JSON that one transaction writes at most, about 10,000 charges. Ten times as much is slower and takes 1.2 to
2.4 GB of memory (measured 2026-11)."""
WITHIN = 2.0
"""Seconds after which a chunk is written even if it is not full."""
CAPACITY = 64_000_000
"""Bytes of JSON that may wait between network and database."""

T = TypeVar("T")


class Writer:
    """Writes one account's deliveries into the mirror, for as long as `run` is under way."""

    def __init__(
        self,
        database: Database,
        catalog: Catalog,
        *,
        account_id: str,
        selected: frozenset[str],
        keep_raw: bool = True,
        private: Private = NOTHING_PRIVATE,
        on_rows: Callable[[str, int], None] = lambda _name, _rows: None,
        part: float = 1.0,
    ) -> None:
        """Write rows of the `selected` types only, without what is `private`.

        `on_rows` is told after each commit how many rows of which type. `begun` are the types whose parents are asked one by
        one in this run: set before the first of them is. `run_id` is the run's, once the file has it: without it, the file is
        another. `noted` counts by type the notes of children to be asked for that
        were made on the way. `part` of the memory is for this account, where others are written by the same process.
        """
        self.begun: frozenset[str] = frozenset()
        self.noted: Counter[str] = Counter()
        self.run_id: str | None = None
        self.channel: Channel[Delivery] = Channel(CAPACITY * part, weigh=lambda delivery: delivery.weight)
        self._database = database
        self._catalog = catalog
        self.account_id = account_id
        self._selected = selected
        self._keep_raw = keep_raw
        self._private = private
        self._on_rows = on_rows
        self._chunk = CHUNK * part
        self._fittings: dict[str, Fitting] = {}
        self._misfits: dict[str, dict[tuple[str, str], Misfit]] = defaultdict(dict)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="warehouse")
        self._stored = 0
        self._submitted = 0
        self._turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    @property
    def congested(self) -> bool:
        """Whether reading faster would only fill the queue."""
        return self.channel.fullness > 1 / 2

    def misfits(self, name: str) -> tuple[Misfit, ...]:
        """List what came for a type in this run and has no place in its columns."""
        return tuple(misfit for _, misfit in sorted(self._misfits[name].items()))

    async def submit(self, delivery: Delivery) -> None:
        """Hand something over to be stored; waits while too much is on its way."""
        self._submitted += 1
        await self.channel.submit(delivery)

    def hurry(self) -> None:
        """Store what is on its way now, and not only when a chunk is full or old enough: nothing more comes for a while."""
        self.channel.hurry()

    async def flushed(self) -> None:
        """Wait until everything that was submitted before is stored."""
        mark = self._submitted
        while self._stored < mark:
            self.hurry()
            await self.next_chunk()

    async def next_chunk(self) -> None:
        """Wait until something more has been stored, or somebody gave a `nudge`."""
        await asyncio.shield(self._turn)

    def nudge(self) -> None:
        """Wake those who wait for the next chunk: something else has changed that they should know of."""
        self._turn.set_result(None)
        self._turn = asyncio.get_running_loop().create_future()

    async def run(self) -> None:
        """Store until the channel is closed and empty. Raises `WarehouseError`; nothing is then half-written."""
        while batch := await self.channel.drain(self._chunk, within=WITHIN):
            stored = await self.call(partial(self._store, batch))
            for name, rows in stored.items():
                self._on_rows(name, rows)
            self._stored += len(batch)
            self.nudge()

    async def call(self, work: Callable[[duckdb.DuckDBPyConnection], T]) -> T:
        """Run database work in one transaction on the writer's thread. Raises `WarehouseError`."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._transaction, work)

    async def books(self, work: Callable[[Ledger], T]) -> T:
        """Run work on the account's books in one transaction."""
        return await self.call(lambda connection: work(Ledger(connection, self.account_id)))

    def close(self) -> None:
        """Let the thread finish what it is writing, and end it."""
        self._thread.shutdown(wait=True)

    def apply_changes(self, connection: duckdb.DuckDBPyConnection, *, now: float, forget_before: int) -> dict[str, int]:
        """Turn the stored events into rows, deletions and notes of what to read again; all within one transaction.

        Rows are dated `now` (seconds since 1970). Returns rows written by type.
        """
        rows: dict[str, int] = defaultdict(int)
        for kind in kinds_changed(connection, self._catalog, account_id=self.account_id):
            if kind.name in self._selected:
                verdicts = Verdicts(
                    connection,
                    kind,
                    account_id=self.account_id,
                    api_version=self._catalog.api_version,
                    now=now,
                    trust_payloads=not self._requests_children(kind),
                    look_again=self._has_lists_below(kind),
                )
                self._store_rows(connection, kind, load.fetched(connection, verdicts.payloads), rows)
                verdicts.settle(connection, self._catalog.children(kind.name))
                for child in self._catalog.children(kind.name):
                    forget_orphans(connection, self._catalog, child, account_id=self.account_id)
                if kind.parent is not None:
                    forget_of_deleted(connection, self._catalog[kind.parent.type], kind, account_id=self.account_id)
        forget_applied(connection, account_id=self.account_id, before=forget_before)
        return rows

    def _has_lists_below(self, kind: ObjectType) -> bool:
        """Say whether an event about this type may be followed by requests for lists of its children."""
        followed = any(child.name in self._selected and child.fresh is Fresh.PARENT for child in self._catalog.children(kind.name))
        return followed or (kind.parent is not None and kind.parent.placeholder in kind.told_of.values())

    def _requests_children(self, kind: ObjectType) -> bool:
        """Say whether children that follow this type come inside it on request only: then no event's payload has them."""
        children = [child for child in self._catalog.children(kind.name) if child.name in self._selected and child.fresh is Fresh.PARENT]
        return any(child.parent is not None and child.parent.expand for child in children)

    def _transaction(self, work: Callable[[duckdb.DuckDBPyConnection], T]) -> T:
        try:
            with self._database.open() as connection:
                connection.execute("begin")
                if self.run_id is not None and not Ledger(connection, self.account_id).has_run(self.run_id):
                    raise self._database.replaced()
                result = work(connection)
                connection.execute("commit")
                return result
        except duckdb.Error as error:
            raise self._database.trouble(error) from error

    def _store(self, batch: Sequence[Delivery], connection: duckdb.DuckDBPyConnection) -> dict[str, int]:
        batch = self._private.cleaned(batch)
        ledger = Ledger(connection, self.account_id)
        rows: dict[str, int] = defaultdict(int)
        by_type: dict[str, list[Objects]] = defaultdict(list)
        for delivery in batch:
            if isinstance(delivery, Objects):
                by_type[delivery.kind.name].append(delivery)
        for kind in self._catalog:
            if deliveries := by_type.get(kind.name):
                self._store_objects(connection, kind, deliveries, rows)
        self._store_events(connection, [delivery for delivery in batch if isinstance(delivery, Changes)])
        self._store_gone(connection, [delivery for delivery in batch if isinstance(delivery, Gone)])
        self._store_progress(connection, ledger, batch)
        return rows

    def _store_objects(
        self, connection: duckdb.DuckDBPyConnection, kind: ObjectType, deliveries: Sequence[Objects], rows: dict[str, int]
    ) -> None:
        objects = list(chain.from_iterable(delivery.objects for delivery in deliveries))
        if not objects:
            return
        read_at = list(chain.from_iterable([delivery.read_at] * len(delivery.objects) for delivery in deliveries))
        parents = list(chain.from_iterable([delivery.parent_id] * len(delivery.objects) for delivery in deliveries))
        told = [noted.object_id for noted in (delivery.progress for delivery in deliveries) if _is_told_of(noted)]
        if any(isinstance(delivery.progress, PendingProgress) and delivery.progress.purpose == "stretch" for delivery in deliveries):
            told += Ledger(connection, self.account_id).told_of(kind)
        self._store_rows(connection, kind, load.incoming(objects, read_at, parents), rows, told=told)

    def _store_rows(
        self,
        connection: duckdb.DuckDBPyConnection,
        kind: ObjectType,
        objects: pa.Table,
        rows: dict[str, int],
        *,
        told: Iterable[str] | None = None,
    ) -> None:
        """Store objects of a type, and those of its children that they contain; note the children that are to be asked for.

        `told`: those that are known to have changed (none: all).
        """
        ledger = Ledger(connection, self.account_id)
        staged = load.stage(
            connection,
            kind,
            objects,
            account_id=self.account_id,
            keep_raw=self._keep_raw,
            fitting=self._fittings.setdefault(kind.name, Fitting(received(kind))),
            on_unreadable=partial(ledger.bury_unreadable, kind),
            on_misfits=partial(self._note_misfits, ledger, kind),
        )
        family = self._family(connection, kind)
        if family is not None:
            for child in family.inside:
                self._store_rows(connection, child, load.fetched(connection, load.embedded(staged, child)), rows, told=())
            family.take_out(staged, told=told)
        if kind.name in self._selected:
            rows[kind.name] += load.upsert(connection, kind, staged)
        if family is not None:
            self.noted += family.note(staged)
        connection.execute(f"drop table {staged}")

    def _family(self, connection: duckdb.DuckDBPyConnection, kind: ObjectType) -> Family | None:
        children = self._catalog.children(kind.name)
        if not children:
            return None
        return Family(connection, kind, children, account_id=self.account_id, selected=self._selected, begun=self.begun)

    def _note_misfits(self, ledger: Ledger, kind: ObjectType, misfits: Sequence[Misfit]) -> None:
        ledger.note_misfits(kind, misfits)
        for misfit in misfits:
            known = self._misfits[kind.name].get((misfit.column, misfit.change))
            self._misfits[kind.name][misfit.column, misfit.change] = known + misfit if known is not None else misfit

    def _store_events(self, connection: duckdb.DuckDBPyConnection, deliveries: Sequence[Changes]) -> None:
        for delivery in deliveries:
            store_events(connection, delivery.events, delivery.since, self._catalog, account_id=self.account_id)

    def _store_gone(self, connection: duckdb.DuckDBPyConnection, deliveries: Sequence[Gone]) -> None:
        for gone in deliveries:
            read_at = moment(gone.read_at)
            source = f"select {literal(gone.object_id)} as id, {read_at} as deleted_at, {read_at} as read_at"
            children = self._catalog.children(gone.kind.name)
            load.mark_deleted(connection, gone.kind, source, account_id=self.account_id, children=children)
            for child in children:
                forget_orphans(connection, self._catalog, child, account_id=self.account_id)

    def _store_progress(self, connection: duckdb.DuckDBPyConnection, ledger: Ledger, batch: Sequence[Delivery]) -> None:
        slices: dict[ObjectType, list[SliceProgress]] = defaultdict(list)
        answered: list[PendingProgress] = []
        for delivery in batch:
            if isinstance(delivery, Gone):
                answered.append(delivery.progress)
            elif isinstance(delivery, Objects) and isinstance(delivery.progress, SliceProgress):
                slices[delivery.kind].append(delivery.progress)
            elif isinstance(delivery, Objects) and isinstance(delivery.progress, PendingProgress):
                answered.append(delivery.progress)
        for kind, progresses in slices.items():
            ledger.save_slices(kind, progresses)
        told: dict[ObjectType, list[int]] = defaultdict(list)
        for progress in answered:
            if progress.done and not progress.missing and progress.number is not None and progress.purpose == "children":
                told[progress.kind].append(progress.number)
        for kind, numbers in told.items():
            load.forget_unseen_children(connection, kind, numbers, account_id=self.account_id)
        ledger.answered(answered)
        for delivery in batch:
            if isinstance(delivery, ListDone):
                ledger.finish(delivery.kind, created_from=delivery.created_from, whole=delivery.whole, at=delivery.at, spare=delivery.spare)
                if delivery.whole:
                    forget_orphans(connection, self._catalog, delivery.kind, account_id=self.account_id)


def _is_told_of(progress: SliceProgress | PendingProgress | None) -> TypeGuard[PendingProgress]:
    """Say whether an object was asked for by its id, because an event says that it has changed."""
    return isinstance(progress, PendingProgress) and progress.purpose == "object"
