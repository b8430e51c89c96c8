"""The sync's books: how far each type has been stored, and what each run did. What is still to be asked for stands in `notes`.

All functions work inside the caller's transaction and on one account. What they mean for the next request belongs in
`sync`.
"""

import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime

from stripe_assets.catalog.types import Fresh, Kind, ObjectType
from stripe_assets.errors import RequestError
from stripe_assets.warehouse.deliveries import SliceProgress, SliceRange
from stripe_assets.warehouse.misfits import Misfit
from stripe_assets.warehouse.notes import OVERLAP, Notes
from stripe_assets.warehouse.tables import literal, moment, quoted, table

BACKFILL, NOTED, COMPLETE = "backfill", "noted", "complete"
HIDDEN = -1
"""The part of a list that other objects hide; its slice only says that these have been noted."""


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
    """A slice of a list that is being read, as it stands in the file; `part` counts how often the list is read once more."""

    range: SliceRange
    cursor: str | None
    done: bool
    part: int = 0


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


class Ledger(Notes):
    """The books of one account, through one open connection; its notes of what is to be asked for are in `notes`."""

    def checkpoints(self) -> dict[str, Checkpoint]:
        """Read every type's checkpoint."""
        rows = self._all(
            "select type, state, events_from, created_from, since, started_at, updated_at from stripe_sync.checkpoints where account_id = ?"
        )
        return {row[0]: Checkpoint(*row) for row in rows}

    def begin_backfill(self, kinds: Iterable[ObjectType], *, now: datetime, events_from: int | None, since: int | None) -> None:
        """Note that these types are about to be read, whole or `since` a time, and from when on events will be needed.

        Older ones that an earlier run has left are not: what the lists show is newer, and what they do not show is gone.
        """
        kinds = list(kinds)
        names = [kind.name for kind in kinds]
        self._run(
            "delete from stripe_sync.changes where account_id = ? and event_type in (select unnest(?::varchar[])) and not applied "
            "and coalesce(created < ?, true)",
            [event for kind in kinds for event in (*kind.events, *kind.told_of)],
            events_from - OVERLAP if events_from is not None else None,
        )
        self.abandon(kinds)
        self._run(
            "insert into stripe_sync.checkpoints select $1, unnest($2::varchar[]), $3, $4, null, $5, $6, $6",
            names, BACKFILL, events_from, since, now,
        )  # fmt: skip

    def abandon(self, kinds: Iterable[ObjectType]) -> None:
        """Forget that the reading of these types was begun: the next run that asks for them begins anew. Their rows stay."""
        names = [kind.name for kind in kinds]
        for books in ("checkpoints", "slices", "pending"):
            self._run(f"delete from stripe_sync.{books} where account_id = ? and type in (select unnest(?::varchar[]))", names)

    def finish(self, kind: ObjectType, *, created_from: int | None, whole: bool, at: float, spare: str | None = None) -> None:
        """Note that a type has its list as it was `at` a time (seconds); after a whole reading, what was not seen again is gone.

        Not gone is what has a value in the column `spare`, what is from before the time that was asked for, what belongs to parents
        that have not answered, and of a list that leaves things out anything before it was asked for by its id.
        """
        if whole:
            self._forget_unseen(kind, spare, at)
            self._run("delete from stripe_sync.slices where account_id = ? and type = ?", kind.name)
        self._run("delete from stripe_sync.pending where account_id = ? and type = ? and purpose = 'missing'", kind.name)
        newest = "null" if created_from is None else str(created_from)
        if kind.parent is not None and kind.fresh is Fresh.CREATED:
            newest = f"(select coalesce(epoch(max(created))::bigint, 0) from {table(kind)} where _account_id = {literal(self._account_id)})"
        # What events tell of is up to date only once these have been applied, which is for `caught_up` to say.
        told = kind.fresh in (Fresh.EVENTS, Fresh.PARENT) or (kind.fresh is Fresh.CREATED and bool(kind.events))
        updated_at = f"if(events_from is null, {moment(at)}, updated_at)" if told else moment(at)
        self._run(
            f"update stripe_sync.checkpoints set state = '{COMPLETE}', updated_at = {updated_at}, "
            f"created_from = greatest(created_from, {newest}) where account_id = ? and type = ?",
            kind.name,
        )

    def _forget_unseen(self, kind: ObjectType, spare: str | None, at: float) -> None:
        mine = f"account_id = {literal(self._account_id)} and type = {literal(kind.name)}"
        unseen = (
            f"_account_id = {literal(self._account_id)} and _deleted_at is null and _synced_at < "
            f"(select started_at from stripe_sync.checkpoints where {mine}){self._asked_for(kind, mine)}"
        )
        if spare is not None:
            unseen += f" and {quoted(spare)} is null"
        if kind.parent is not None:
            unseen += f" and coalesce({quoted(kind.parent.column)} not in (select object_id from stripe_sync.pending where {mine}), true)"
        if kind.partial:
            self._connection.execute(
                "insert into stripe_sync.pending (account_id, type, purpose, object_id) "
                f"select {literal(self._account_id)}, {literal(kind.name)}, 'object', id from {table(kind)} where {unseen} "
                f"and id not in (select object_id from stripe_sync.pending where {mine} and purpose = 'object')"
            )
        else:
            self._connection.execute(f"update {table(kind)} set _deleted_at = {moment(at)} where {unseen}")

    def _asked_for(self, kind: ObjectType, mine: str) -> str:
        """Write the condition that a row is not from before the time that was asked for: children inside others came with these.

        Objects that do not say when they were created have one time, and that must be it.
        """
        if kind.parent is not None and kind.parent.embedded:
            began = f"(select started_at from stripe_sync.checkpoints where {mine})"
            parents = f"stripe.{quoted(kind.parent.type)} where _account_id = {literal(self._account_id)}"
            later = f"{quoted(kind.parent.column)} in (select id from {parents} and _synced_at >= {began})"
        elif kind.created_filter:
            (column, *_) = ["created"] if kind.has_created else [column.name for column in kind.columns if column.kind is Kind.TIMESTAMP]
            later = f"try_cast({quoted(column)} as timestamptz) >= (select to_timestamp(since) from stripe_sync.checkpoints where {mine})"
        else:
            return ""  # its list is read to its end in any case
        return f" and ((select since is null from stripe_sync.checkpoints where {mine}) or {later})"

    def caught_up(self, kinds: Iterable[ObjectType], *, events_from: int | None, at: float) -> None:
        """Note that everything that events tell up to `events_from` is stored, as it was `at` a time (both in seconds)."""
        self._run(
            f"update stripe_sync.checkpoints set events_from = greatest(events_from, $2), updated_at = {moment(at)} "
            "where account_id = $1 and type in (select unnest($3::varchar[]))",
            events_from,
            [kind.name for kind in kinds],
        )

    def lose_position(self, kinds: Iterable[ObjectType]) -> None:
        """Note that nobody can tell any more what has changed in these types: the next run reads them from the start."""
        kinds = list(kinds)
        names = [kind.name for kind in kinds]
        mine = "where account_id = ? and type in (select unnest(?::varchar[]))"
        self._run(f"update stripe_sync.checkpoints set events_from = null {mine}", names)
        # A list that tells what is new is read on without events, and may be just now: only what is not known is begun.
        self._run(f"delete from stripe_sync.checkpoints {mine}", [kind.name for kind in kinds if kind.fresh is Fresh.CREATED])

    def slices(self, kind: ObjectType) -> list[StoredSlice]:
        """Read the slices of a list that is being read."""
        rows = self._all(
            "select slice, created_gte, created_lt, cursor, done, part from stripe_sync.slices "
            "where account_id = ? and type = ? order by part, slice",
            kind.name,
        )
        return [StoredSlice(SliceRange(*row[:3]), *row[3:]) for row in rows]

    def save_slices(self, kind: ObjectType, progresses: Sequence[SliceProgress]) -> None:
        """Write how the slices stand: the latest ranges, and of each slice as far as its stored pages go.

        The latest are the most numerous, since slices are only ever split: pages may arrive out of order, and a slice that
        is done must not be taken for the one that it was before it gave half of its range away.
        """
        stored = self.slices(kind)
        for part in {progress.part for progress in progresses}:
            self._save_part(
                kind, part, [one for one in stored if one.part == part], [progress for progress in progresses if progress.part == part]
            )
        newest = [progress.newest for progress in progresses if progress.newest is not None]
        if newest:
            self._run(
                f"update stripe_sync.checkpoints set created_from = greatest(created_from, {max(newest)}) "
                "where account_id = ? and type = ?",
                kind.name,
            )

    def begin_children(self, child: ObjectType, *, now: float, since: int | None) -> int:
        """Note that all parents are to be asked for their children, and that this has been noted (times in seconds since 1970).

        Gives how many are to be asked.
        """
        self.save_slices(child, [SliceProgress((SliceRange(0),), 0, None, done=False)])
        return self.pend_all_parents(child, now=now, since=since)

    def begin_hidden(self, kind: ObjectType) -> None:
        """Note that the list is to be read for every object that hides a part of it, and that this has been noted."""
        self.pend_hidden(kind)
        self.save_slices(kind, [SliceProgress((SliceRange(0),), 0, None, done=False, part=HIDDEN)])

    def states(self, kinds: Iterable[ObjectType]) -> dict[str, str]:
        """Say of types that belong to others how far they are: `backfill`, `noted` once their parents are to be asked, or `complete`."""
        names = [kind.name for kind in kinds]
        if not names:
            return {}
        rows = self._all(
            "select type, state, exists (select 1 from stripe_sync.slices s where s.account_id = c.account_id and s.type = c.type) "
            "from stripe_sync.checkpoints c where account_id = ? and type in (select unnest(?::varchar[]))",
            names,
        )
        return {name: NOTED if state == BACKFILL and noted else state for name, state, noted in rows}

    def _save_part(self, kind: ObjectType, part: int, stored: Sequence[StoredSlice], progresses: Sequence[SliceProgress]) -> None:
        known = {piece.range.number: (piece.cursor, piece.done) for piece in stored}
        known |= {progress.number: (progress.cursor, progress.done) for progress in progresses}
        ranges = max([tuple(piece.range for piece in stored), *(progress.ranges for progress in progresses)], key=len)
        self._run("delete from stripe_sync.slices where account_id = ? and type = ? and part = ?", kind.name, part)
        for piece in ranges:
            cursor, done = known.get(piece.number, (None, False))
            self._run(
                "insert into stripe_sync.slices values (?, ?, ?, ?, ?, ?, ?, ?)",
                kind.name, piece.number, piece.gte, piece.lt, cursor, done, part,
            )  # fmt: skip

    def bury(self, kind: ObjectType, error: RequestError, params: object, *, attempts: int) -> None:
        """Keep a request that could not be completed, to be driven again; of one that is kept already the attempts are added up."""
        asked = (kind.name, error.path, json.dumps(params))
        where = "where account_id = ? and type = ? and path = ? and params = ?::json"
        if self._all(f"select 1 from stripe_sync.dead_letters {where} limit 1", *asked):
            self._connection.execute(
                f"update stripe_sync.dead_letters set reason = ?, request_id = ?, attempts = attempts + ?, failed_at = now() {where}",
                [str(error), error.request_id, attempts, self._account_id, *asked],
            )
        else:
            self._run(
                "insert into stripe_sync.dead_letters values (?, ?, ?, ?, ?, ?, ?, now())",
                *asked, str(error), error.request_id, attempts,
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

    def forget_dead_letters(self, kinds: Iterable[ObjectType], *, begun: Iterable[str]) -> None:
        """Drop the types' dead letters: everything that they stood for is being asked for again.

        What could not be stored is asked for again only where the type is `begun` from the start.
        """
        self._run(
            "delete from stripe_sync.dead_letters where account_id = $1 and type in (select unnest($2::varchar[])) "
            "and (attempts > 0 or type in (select unnest($3::varchar[])))",
            [kind.name for kind in kinds],
            list(begun),
        )

    def begin_run(self, run_id: str) -> float:
        """Note that a run has started.

        Gives the time of the last entry about any type (seconds since 1970): nothing that this run reads is from before.
        """
        details = json.dumps({"pid": os.getpid()})
        self._connection.execute(
            "insert into stripe_sync.runs (run_id, account_id, started_at, state, details) values (?, ?, now(), 'running', ?)",
            [run_id, self._account_id, details],
        )
        last = self._all("select epoch(max(greatest(started_at, updated_at))) from stripe_sync.checkpoints where account_id = ?")[0][0]
        return float(last or 0.0)

    def has_run(self, run_id: str) -> bool:
        """Say whether a run was noted in this file."""
        return bool(self._connection.execute("select 1 from stripe_sync.runs where run_id = ?", [run_id]).fetchall())

    def latest_reading(self, kinds: Iterable[ObjectType]) -> float:
        """Say when the newest row of these types was read (seconds since 1970; 0 if there is none)."""
        queries = (
            f"select max(_synced_at) as read_at from {table(kind)} where _account_id = {literal(self._account_id)}" for kind in kinds
        )
        ((latest,),) = self._connection.execute(f"select epoch(max(read_at)) from ({' union all '.join(queries)})").fetchall()
        return float(latest or 0.0)

    def fail_run(self, run_id: str, error: str, *, requests: int) -> None:
        """Note a run of an account of which nothing could be read, not even how its types stand."""
        self._connection.execute(
            "insert into stripe_sync.runs (run_id, account_id, started_at, ended_at, state, requests, objects, details) "
            "values (?, ?, now(), now(), 'failed', ?, 0, ?)",
            [run_id, self._account_id or None, requests, json.dumps({"error": error})],
        )

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
        if rows:
            misfits = [json.dumps([asdict(misfit) for misfit in row.misfits]) if row.misfits else None for row in rows]
            columns = zip(
                *((row.type, row.state, row.rows, row.requests, row.seconds, row.reason, row.request_id) for row in rows), strict=True
            )
            kinds = ("varchar", "varchar", "bigint", "bigint", "double", "varchar", "varchar", "json")
            unnested = ", ".join(f"unnest(${number}::{kind}[])" for number, kind in enumerate(kinds, 3))
            self._connection.execute(
                f"insert into stripe_sync.run_types select $1, $2, {unnested}",
                [run_id, self._account_id, *(list(column) for column in columns), misfits],
            )
