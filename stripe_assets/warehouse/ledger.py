"""The sync's books: how far each type has been stored, what is still to be asked for, and what each run did.

All functions work inside the caller's transaction and on one account. What they mean for the next request belongs in
`sync`.
"""

import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

import duckdb

from stripe_assets.catalog.types import ObjectType
from stripe_assets.errors import RequestError
from stripe_assets.warehouse.deliveries import PendingProgress, SliceProgress, SliceRange
from stripe_assets.warehouse.misfits import Misfit
from stripe_assets.warehouse.tables import literal, quoted, table

BACKFILL, COMPLETE = "backfill", "complete"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """How far a type is. Positions are `created` times in seconds; `updated_at` is when it was last up to date."""

    type: str
    state: str
    events_from: int | None
    created_from: int | None
    since: int | None
    started_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class StoredSlice:
    """A slice of a list that is being read, as it stands in the file."""

    range: SliceRange
    cursor: str | None
    done: bool


@dataclass(frozen=True, slots=True)
class Pending:
    """A request to be made for one object: its children from `cursor` on, or itself; `number` is the note's, once stored."""

    number: int | None
    object_id: str
    cursor: str | None


@dataclass(frozen=True, slots=True)
class TypeResult:
    """How one type of one run ended: `complete`, `skipped` or `failed`, and why; and what came that fits no column."""

    type: str
    state: str
    rows: int
    requests: int
    seconds: float
    reason: str | None = None
    request_id: str | None = None
    misfits: tuple[Misfit, ...] = ()


class Ledger:
    """The books of one account, through one open connection."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, account_id: str) -> None:
        """Speak for `account_id` on `connection`."""
        self._connection = connection
        self._account_id = account_id

    def checkpoints(self) -> dict[str, Checkpoint]:
        """Read every type's checkpoint."""
        rows = self._all(
            "select type, state, events_from, created_from, since, started_at, updated_at from stripe_sync.checkpoints where account_id = ?"
        )
        return {row[0]: Checkpoint(*row) for row in rows}

    def begin_backfill(self, kinds: Iterable[ObjectType], *, now: datetime, events_from: int | None, since: int | None) -> None:
        """Note that these types are about to be read, whole or `since` a time, and from when on events will be needed."""
        for kind in kinds:
            self._run("delete from stripe_sync.checkpoints where account_id = ? and type = ?", kind.name)
            self._run("delete from stripe_sync.slices where account_id = ? and type = ?", kind.name)
            self._run("delete from stripe_sync.pending where account_id = ? and type = ?", kind.name)
            self._run(
                "insert into stripe_sync.checkpoints values (?, ?, ?, ?, null, ?, ?, ?)", kind.name, BACKFILL, events_from, since, now, now
            )

    def finish(self, kind: ObjectType, *, created_from: int | None, whole: bool) -> None:
        """Note that a type is up to date with its list; after a whole reading, what was not seen again is gone."""
        if whole:
            self._run(
                f"update {table(kind)} set _deleted_at = now() where _account_id = ? and _deleted_at is null and _synced_at < "
                "(select started_at from stripe_sync.checkpoints where account_id = ? and type = ?)",
                self._account_id,
                kind.name,
            )
            self._run("delete from stripe_sync.slices where account_id = ? and type = ?", kind.name)
        self._run(
            f"update stripe_sync.checkpoints set state = '{COMPLETE}', updated_at = now(), "
            f"created_from = greatest(created_from, {'null' if created_from is None else created_from}) where account_id = ? and type = ?",
            kind.name,
        )

    def caught_up(self, kinds: Iterable[ObjectType], *, events_from: int | None) -> None:
        """Note that everything that events tell up to `events_from` is stored."""
        position = events_from if events_from is not None else "null"
        for kind in kinds:
            self._run(
                f"update stripe_sync.checkpoints set events_from = greatest(events_from, {position}), updated_at = now() "
                "where account_id = ? and type = ?",
                kind.name,
            )

    def slices(self, kind: ObjectType) -> list[StoredSlice]:
        """Read the slices of a list that is being read."""
        rows = self._all(
            "select slice, created_gte, created_lt, cursor, done from stripe_sync.slices where account_id = ? and type = ? order by 1",
            kind.name,
        )
        return [StoredSlice(SliceRange(*row[:3]), row[3], row[4]) for row in rows]

    def save_slices(self, kind: ObjectType, progresses: Sequence[SliceProgress]) -> None:
        """Write how the slices stand: the latest ranges, and of each slice as far as its stored pages go.

        The latest are the most numerous, since slices are only ever split: pages may arrive out of order, and a slice that
        is done must not be taken for the one that it was before it gave half of its range away.
        """
        stored = self.slices(kind)
        known = {piece.range.number: (piece.cursor, piece.done) for piece in stored}
        known |= {progress.number: (progress.cursor, progress.done) for progress in progresses}
        ranges = max([tuple(piece.range for piece in stored), *(progress.ranges for progress in progresses)], key=len)
        self._run("delete from stripe_sync.slices where account_id = ? and type = ?", kind.name)
        for piece in ranges:
            cursor, done = known.get(piece.number, (None, False))
            self._run(
                "insert into stripe_sync.slices values (?, ?, ?, ?, ?, ?, ?)", kind.name, piece.number, piece.gte, piece.lt, cursor, done
            )
        newest = [progress.newest for progress in progresses if progress.newest is not None]
        if newest:
            self._run(
                f"update stripe_sync.checkpoints set created_from = greatest(created_from, {max(newest)}) "
                "where account_id = ? and type = ?",
                kind.name,
            )

    def pend_children(self, child: ObjectType, source: str) -> None:
        """Note children to be asked for: `source` is a query with the `parent_id` and the `cursor` to start after.

        An older note about the same parent is replaced.
        """
        self._run(
            "delete from stripe_sync.pending where account_id = ? and type = ? and purpose = 'children' "
            f"and object_id in (select parent_id from ({source}))",
            child.name,
        )
        self._run(
            "insert into stripe_sync.pending (account_id, type, purpose, object_id, cursor) "
            f"select ?, ?, 'children', parent_id, cursor from ({source})",
            child.name,
        )

    def pend_all_parents(self, child: ObjectType) -> None:
        """Note that every parent in the mirror is to be asked for its children, and that this has been noted."""
        assert child.parent is not None
        parents = f"stripe.{quoted(child.parent.type)}"
        self.pend_children(
            child,
            f"select id as parent_id, null as cursor from {parents} "
            f"where _account_id = {literal(self._account_id)} and _deleted_at is null",
        )
        self.save_slices(child, [SliceProgress((SliceRange(0),), 0, None, done=False)])

    def pending(self, kind: ObjectType, purpose: str, *, after: int, most: int) -> tuple[list[Pending], int]:
        """Read the next notes of one purpose in the order in which they were made, and how many there are from there on."""
        where = "from stripe_sync.pending where account_id = ? and type = ? and purpose = ? and number > ?"
        rows = self._all(f"select number, object_id, cursor {where} order by number limit {most}", kind.name, purpose, after)
        left = int(self._all(f"select count(*) {where}", kind.name, purpose, after)[0][0]) if len(rows) == most else len(rows)
        return [Pending(*row) for row in rows], left

    def kinds_pending(self) -> set[tuple[str, str]]:
        """List the types and purposes that requests are still to be made for."""
        rows = self._all("select distinct type, purpose from stripe_sync.pending where account_id = ?")
        return {(row[0], row[1]) for row in rows}

    def answered(self, progresses: Sequence[PendingProgress]) -> None:
        """Strike out what has been answered; move the cursor of what has been answered in part."""
        numbers = [progress.number for progress in progresses if progress.done and progress.number is not None]
        if numbers:
            self._run("delete from stripe_sync.pending where account_id = ? and number in (select unnest(?::bigint[]))", numbers)
        unnumbered = [progress for progress in progresses if progress.done and progress.number is None]
        if unnumbered:
            self._run(
                "delete from stripe_sync.pending where account_id = ? and (type, purpose, object_id) in "
                "(select unnest(?::varchar[]), unnest(?::varchar[]), unnest(?::varchar[]))",
                [progress.kind.name for progress in unnumbered],
                [progress.purpose for progress in unnumbered],
                [progress.object_id for progress in unnumbered],
            )
        for progress in progresses:
            if not progress.done:
                self._run(
                    "update stripe_sync.pending set cursor = $5 where account_id = $1 and type = $2 and purpose = $3 and object_id = $4",
                    progress.kind.name,
                    progress.purpose,
                    progress.object_id,
                    progress.cursor,
                )

    def oldest_open(self, kind: ObjectType) -> int | None:
        """Say when the oldest object was created that may still change without an event (seconds); none if there is none."""
        if not kind.open:
            return None
        states = " or ".join(f"{quoted(name)} in ({', '.join(literal(value) for value in values)})" for name, values in kind.open.items())
        query = f"select epoch(min(created))::bigint from {table(kind)} where _account_id = ? and _deleted_at is null and ({states})"
        found = self._all(query)[0][0]
        return None if found is None else int(found)

    def bury(self, kind: ObjectType, error: RequestError, params: object, *, attempts: int) -> None:
        """Keep a request that could not be completed, to be driven again."""
        self._run(
            "insert into stripe_sync.dead_letters values (?, ?, ?, ?, ?, ?, ?, now())",
            kind.name, error.path, json.dumps(params), str(error), error.request_id, attempts,
        )  # fmt: skip

    def note_misfits(self, kind: ObjectType, misfits: Iterable[Misfit]) -> None:
        """Count what came and has no place in the columns: one row for each field, however many runs it comes in."""
        for misfit in misfits:
            where = "where account_id = ? and type = ? and column_name = ? and change = ?"
            known = self._all(f"select 1 from stripe_sync.schema_changes {where}", kind.name, misfit.column, misfit.change)
            if not known:
                self._run(
                    "insert into stripe_sync.schema_changes values (?, ?, ?, ?, ?, ?, now(), now())",
                    kind.name, misfit.column, misfit.change, misfit.count, misfit.example_id,
                )  # fmt: skip
                continue
            self._connection.execute(
                "update stripe_sync.schema_changes set occurrences = occurrences + ?, last_noticed_at = now(), "
                f"example_id = coalesce(?, example_id) {where}",
                [misfit.count, misfit.example_id, self._account_id, kind.name, misfit.column, misfit.change],
            )

    def bury_unreadable(self, kind: ObjectType, texts: Sequence[str]) -> None:
        """Keep word of objects that were received but cannot become rows; their `attempts` are 0, as nothing can be driven again.

        Only their beginning is told: the rest may be what nobody should read in a log.
        """
        for text in texts:
            reason = f"GET {kind.path} gave an object that cannot be stored, because it has no id or is damaged; it begins {text[:40]!r}"
            self._run("insert into stripe_sync.dead_letters values (?, ?, ?, '{}', ?, null, 0, now())", kind.name, kind.path, reason)

    def unreadable(self) -> dict[str, str]:
        """Give the types of which objects could not be stored since they were last begun, each with one reason."""
        letters = "select type, min(reason), count(*) from stripe_sync.dead_letters where account_id = ? and attempts = 0 group by 1"
        return {name: f"{reason} ({count} such)" if count > 1 else reason for name, reason, count in self._all(letters)}

    def forget_dead_letters(self, kind: ObjectType, *, begun: bool) -> None:
        """Drop a type's dead letters: everything that they stood for is being asked for again.

        What could not be stored is asked for again only where the type is `begun` from the start.
        """
        self._run(f"delete from stripe_sync.dead_letters where account_id = ? and type = ? and (attempts > 0 or {begun})", kind.name)

    def begin_run(self, run_id: str) -> float:
        """Note that a run has started, and that runs which never said how they ended were interrupted.

        Gives the time of the last entry about any type (seconds since 1970): nothing that this run reads is from before.
        """
        self._connection.execute("update stripe_sync.runs set state = 'interrupted' where state = 'running'")
        details = json.dumps({"pid": os.getpid()})
        self._connection.execute(
            "insert into stripe_sync.runs (run_id, started_at, state, details) values (?, now(), 'running', ?)", [run_id, details]
        )
        last = self._all("select epoch(max(greatest(started_at, updated_at))) from stripe_sync.checkpoints where account_id = ?")[0][0]
        return float(last or 0.0)

    def end_run(
        self, run_id: str, results: Iterable[TypeResult], *, state: str, requests: int, throttled: int, seconds: float, details: object
    ) -> None:
        """Note how a run ended, and each of its types."""
        rows = list(results)
        self._connection.execute(
            "update stripe_sync.runs set ended_at = now(), state = ?, requests = ?, objects = ?, throttled = ?, seconds = ?, details = ? "
            "where run_id = ?",
            [state, requests, sum(row.rows for row in rows), throttled, seconds, json.dumps(details), run_id],
        )
        for row in rows:
            misfits = json.dumps([asdict(misfit) for misfit in row.misfits]) if row.misfits else None
            self._connection.execute(
                "insert into stripe_sync.run_types values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                [run_id, self._account_id, row.type, row.state, row.rows, row.requests, row.seconds, row.reason, row.request_id, misfits],
            )

    def _all(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        return self._connection.execute(query, [self._account_id, *values]).fetchall()

    def _run(self, statement: str, *values: object) -> None:
        self._connection.execute(statement, [self._account_id, *values])
