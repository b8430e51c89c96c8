"""Tells what a mirror holds and how fresh it is, from the file alone: nothing is asked of Stripe and nothing is written."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import typer
from rich.console import Console

from stripe_assets.catalog.types import Catalog, ObjectType, load
from stripe_assets.commands.console import errors_console, figures_table, log_to, results_console, rounded
from stripe_assets.commands.last_runs import LastRun, last_runs, lines
from stripe_assets.commands.mirrored import reading
from stripe_assets.warehouse.tables import literal, table

LAST_RESULTS = """
    with latest as (
        select t.account_id, type, arg_max(t.state, r.started_at) as state, arg_max(t.reason, r.started_at) as reason,
            arg_max(t.request_id, r.started_at) as request_id, max(r.ended_at) as ended_at
        from stripe_sync.run_types t inner join stripe_sync.runs r using (run_id) group by t.account_id, type
    ), counted as (
        select *, count(*) over (partition by type) as accounts,
            count(*) filter (state <> 'complete') over (partition by type) as wanting,
            row_number() over (partition by type order by list_position(['failed', 'skipped', 'complete'], state), ended_at desc) as place
        from latest
    )
    select type, state,
        case when accounts > 1 and wanting > 0 then format('in {} of {} accounts; {}: {}', wanting, accounts, account_id, reason)
            else reason end,
        request_id, ended_at
    from counted where place = 1
"""
"""How each type ended last; of several accounts the one with the worst end stands for all."""
CHECKPOINTS = "select type, bool_or(state = 'backfill'), min(updated_at) from stripe_sync.checkpoints group by type"
DEAD_LETTERS = "select type, count(*) from stripe_sync.dead_letters group by type"
NEVER = "never mirrored"
NAMED = 3
"""Types that were never mirrored which are named; `--all` lists them."""


@dataclass(frozen=True, slots=True)
class TypeStatus:
    """How one type stands. `lag_seconds` is the time since it was last known to equal the account."""

    type: str
    state: str
    rows: int
    deleted: int
    last_sync: datetime | None
    lag_seconds: float | None
    dead_letters: int
    reason: str | None
    request_id: str | None


def status(path: Path, *, everything: bool, as_json: bool, debug: bool) -> None:
    """Print how each type stands, with `everything` also those that were never mirrored.

    Raises `CommandError` where nothing is mirrored yet, and `WarehouseError`.
    """
    log_to(errors_console(), debug=debug)
    runs, types = read(path, load(), now=datetime.now(UTC))
    if as_json:
        found = {
            "duckdb": str(path),
            "last_run": asdict(runs[0]) if runs else None,
            "accounts": [asdict(run) for run in runs],
            "types": [asdict(one) for one in types],
        }
        typer.echo(json.dumps(found, default=_plain))
    else:
        show(path, runs, types, results_console(), everything=everything)


def read(path: Path, catalog: Catalog, *, now: datetime) -> tuple[list[LastRun], list[TypeStatus]]:
    """Read each account's newest run, and every type's state, from the file."""
    with reading(path) as connection:
        present = {row[0] for row in connection.execute("select table_name from duckdb_tables() where schema_name = 'stripe'").fetchall()}
        runs = last_runs(connection)
        results = {row[0]: row[1:] for row in connection.execute(LAST_RESULTS).fetchall()}
        checkpoints = {row[0]: row[1:] for row in connection.execute(CHECKPOINTS).fetchall()}
        dead: dict[str, int] = dict(connection.execute(DEAD_LETTERS).fetchall())
        counts = _counts(connection, [kind for kind in catalog if kind.name in present])
    types = [
        _status(kind.name, counts.get(kind.name, (0, 0)), results.get(kind.name), checkpoints.get(kind.name), dead.get(kind.name, 0), now)
        for kind in catalog
    ]
    return runs, types


def _counts(connection: duckdb.DuckDBPyConnection, kinds: list[ObjectType]) -> dict[str, tuple[int, int]]:
    """Count the rows of each table that stand, and those that were found deleted."""
    if not kinds:
        return {}
    each = (f"select {literal(kind.name)}, count(*) - count(_deleted_at), count(_deleted_at) from {table(kind)}" for kind in kinds)
    return {name: (rows, deleted) for name, rows, deleted in connection.execute(" union all ".join(each)).fetchall()}


def _status(
    name: str, counts: tuple[int, int], result: tuple[Any, ...] | None, checkpoint: tuple[Any, ...] | None, dead: int, now: datetime
) -> TypeStatus:
    """Decide a type's state: what the last run said of it, unless it was interrupted: then what the checkpoint says."""
    state, reason, request_id, ended_at = result or (NEVER, None, None, None)
    backfilling, fresh_at = checkpoint or (False, None)
    if backfilling and state in ("complete", NEVER):
        state = "partial"
    elif result is None and checkpoint is not None:
        state = "complete"  # the run that read it was interrupted later
    known = fresh_at if state == "complete" else None
    return TypeStatus(
        type=name,
        state=state,
        rows=counts[0],
        deleted=counts[1],
        last_sync=ended_at,
        lag_seconds=round((now - known).total_seconds(), 1) if known else None,
        dead_letters=dead,
        reason=reason,
        request_id=request_id,
    )


def show(path: Path, runs: Sequence[LastRun], types: Sequence[TypeStatus], out: Console, *, everything: bool = False) -> None:
    """Print the newest runs, a table of types, and the reasons of those that are not complete."""
    for place, line in enumerate(lines(runs)):
        out.print(line if place else f"{path}: {line}", markup=False, soft_wrap=True)
    out.print("")
    never = [] if everything else [one for one in types if one.state == NEVER and not (one.rows or one.dead_letters)]
    listing = figures_table("type", "state", "rows", "last sync (UTC)", "lag", "dead letters", words=2)
    for one in types:
        if one in never:
            continue
        listing.add_row(
            one.type,
            one.state,
            f"{one.rows:,}",
            f"{one.last_sync:%Y-%m-%d %H:%M}" if one.last_sync else "",
            rounded(one.lag_seconds) if one.lag_seconds is not None else "",
            str(one.dead_letters or ""),
        )
    if listing.row_count:
        out.print(listing)
    for one in types:
        if one.reason:
            out.print(f"\n{one.type} is {one.state}: {one.reason}", markup=False, soft_wrap=True)
    if never:
        out.print(f"\n{_folded(never)}", markup=False, soft_wrap=True)


def _folded(never: Sequence[TypeStatus]) -> str:
    """Say in one line which types were never mirrored."""
    names = ", ".join(one.type for one in never[:NAMED])
    if len(never) <= NAMED:
        return f"never mirrored: {names}"
    return f"{len(never)} types were never mirrored: {names} and {len(never) - NAMED} more; `stripe-assets status --all` lists them"


def _plain(value: object) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    raise TypeError(f"{value!r} has no JSON form")
