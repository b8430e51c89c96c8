"""Looks at the mirror's file for `doctor`: whether it can be used, who uses it, what is not complete in it. Nothing is written."""

import os
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from fcntl import LOCK_NB, LOCK_SH, LOCK_UN, flock
from pathlib import Path

import duckdb

from stripe_assets.catalog.types import Catalog
from stripe_assets.commands.endings import COULD_NOT_RUN, WRONG_USAGE
from stripe_assets.commands.findings import Finding, ok, warning, wrong
from stripe_assets.commands.last_runs import LastRun
from stripe_assets.commands.mirrored import reading
from stripe_assets.commands.status import NEVER, TypeStatus
from stripe_assets.commands.status import read as read_status
from stripe_assets.errors import MirrorError, WarehouseBusy, WarehouseNewer
from stripe_assets.sync.permissions import Example
from stripe_assets.warehouse import migrations
from stripe_assets.warehouse.books import VERSION
from stripe_assets.warehouse.letters import standing
from stripe_assets.warehouse.parents import an_askable
from stripe_assets.warehouse.writer import CAPACITY

AREA = "database"
WAIT = 3.0
"""Seconds to wait for who is writing: a chunk takes less."""
ROOM = 1_000_000_000
"""Free bytes that a sync should find: DuckDB may spill twice its memory of 450 MB beside the file."""


def examine(path: Path, catalog: Catalog, *, now: datetime) -> list[Finding]:
    """Look at the file, its folder, and what the last runs have left."""
    findings = [*_folder(path), *_lock(path)]
    if not path.exists():
        return [*findings, ok(AREA, f"{path} is not there yet: the first `stripe-assets sync` makes it")]
    if not path.is_file() or not os.access(path, os.W_OK):
        findings.append(wrong(AREA, f"{path} cannot be written", "mend its permissions, or choose another file", status=WRONG_USAGE))
    try:
        return [*findings, *_content(path, catalog), *_state(path, catalog, now=now)]
    except WarehouseBusy as error:
        return [*findings, warning(AREA, str(error), "the rest of the file was not looked at: run this again then")]
    except WarehouseNewer as error:
        return [*findings, wrong(AREA, str(error), status=WRONG_USAGE)]
    except MirrorError as error:
        return [*findings, wrong(AREA, str(error), status=WRONG_USAGE)]


def examples(path: Path, catalog: Catalog, *, account_id: str, now: datetime) -> Mapping[str, Example]:
    """Find for each type that belongs to another somebody to ask about; none where the file cannot be read."""
    if not path.is_file():
        return {}
    found: dict[str, Example] = {}
    try:
        with reading(path, wait=WAIT) as connection:
            for kind in catalog:
                child = kind if kind.parent is not None else kind.fallback
                if child is None:
                    continue
                try:
                    one = an_askable(connection, child, account_id=account_id, now=now.timestamp())
                except duckdb.CatalogException:
                    continue  # a file of an older release, without that table
                if one is not None:
                    found[kind.name] = one
    except MirrorError:
        return found  # `examine` has told of it
    return found


def _folder(path: Path) -> Iterator[Finding]:
    folder = path.parent
    there = next(one for one in (folder, *folder.absolute().parents) if one.exists())
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        mend = "set STRIPE_DUCKDB to a file in a folder that can be written, or mend its permissions"
        yield wrong(AREA, f"the folder {there} cannot be written", mend, status=WRONG_USAGE)
        return
    free = shutil.disk_usage(there).free
    said = f"{free / 1e9:,.1f} GB free in {folder}"
    if free < CAPACITY:
        yield wrong(AREA, f"only {free / 1e6:,.0f} MB free in {folder}", "make room: nothing can be stored", status=COULD_NOT_RUN)
    elif free < ROOM:
        yield warning(AREA, f"only {said}", "make room: a sync spills what does not fit into memory beside the file")
    else:
        yield ok(AREA, said)


def _lock(path: Path) -> Iterator[Finding]:
    """Say whether somebody syncs. The lock is tried for an instant, shared, on a file that is there already."""
    try:
        descriptor = os.open(f"{path}.sync", os.O_RDONLY)
    except OSError:
        return  # nobody has synced so far, or the folder says why not
    try:
        flock(descriptor, LOCK_SH | LOCK_NB)
        flock(descriptor, LOCK_UN)
        yield ok(AREA, "nobody is syncing into it")
    except BlockingIOError:
        yield ok(AREA, f"a sync is under way{_who(path)}: another has to wait for its end")
    finally:
        os.close(descriptor)


def _who(path: Path) -> str:
    query = (
        "select json_extract(details, '$.pid'), started_at from stripe_sync.runs where state = 'running' order by started_at desc limit 1"
    )
    try:
        with reading(path, wait=WAIT) as connection:
            row = connection.execute(query).fetchone()
    except MirrorError:
        return ""
    return f" (process {row[0]}, since {row[1]:%H:%M:%S} UTC)" if row else ""


def _content(path: Path, catalog: Catalog) -> Iterator[Finding]:
    with reading(path, wait=WAIT) as connection:
        if migrations.is_somebody_elses(connection):
            mend = "choose another file with STRIPE_DUCKDB, or rename that schema"
            yield wrong(AREA, f"{path} has a schema `stripe` that is somebody else's", mend, status=WRONG_USAGE)
            return
        if not (found := migrations.version(connection)):
            yield ok(AREA, f"{path} holds no mirror yet: the first `stripe-assets sync` makes it")
            return
        row = connection.execute("select api_version from stripe_sync.versions").fetchone()
    said = f"{path}: format {found}, API version {row[0] if row else 'unknown'}"
    old = found < VERSION or (row is not None and row[0] != catalog.api_version)
    yield ok(AREA, f"{said}; the next sync makes it format {VERSION}, {catalog.api_version}" if old else said)


def _state(path: Path, catalog: Catalog, *, now: datetime) -> Iterator[Finding]:
    with reading(path, wait=WAIT) as connection:
        if not migrations.version(connection):
            return
        letters = standing(connection)
    runs, types = read_status(path, catalog, now=now)
    yield from _last_runs(runs)
    yield from _types(types)
    again = sum(one.count for one in letters if one.again)
    if again:
        names = ", ".join(sorted({one.type for one in letters if one.again}))
        yield warning(AREA, f"{again:,} dead letters: {names}", "`stripe-assets redrive` tries them again")
    for one in letters:
        if not one.again:
            yield warning(AREA, f"{one.type}: {one.reason} ({one.count:,} such)", f"`stripe-assets sync --full-refresh {one.type}`")


def _last_runs(runs: Sequence[LastRun]) -> Iterator[Finding]:
    """Tell of each account's last run; of several accounts only what is not well with one by one."""
    well = [run for run in runs if run.state not in ("interrupted", "failed")]
    if len(runs) > 1 and well:
        yield ok(AREA, f"the last runs of {len(well):,} of {len(runs):,} accounts are well")
    for run in runs:
        whose = f"the last run of {run.whose}" if len(runs) > 1 else "the last run"
        said = f"{whose}, of {run.started_at:%Y-%m-%d %H:%M:%S} UTC, "
        if run.state == "interrupted":
            yield warning(AREA, f"{said}was interrupted", "`stripe-assets sync` goes on where it was")
        elif run.state == "failed":
            why = f": {run.reason}" if run.reason else ""
            yield warning(AREA, f"{said}could not be finished{why}", "run `stripe-assets sync`: it goes on there, or says why not")
        elif len(runs) == 1:
            yield ok(AREA, f"{said}{'is under way' if run.state == 'running' else f'is {run.state}'}")


def _types(types: Iterable[TypeStatus]) -> Iterator[Finding]:
    by_state: dict[str, list[TypeStatus]] = {}
    for one in types:
        by_state.setdefault(one.state, []).append(one)
    for one in by_state.get("failed", ()):
        mend = "`stripe-assets redrive` or the next sync tries again" if one.dead_letters else "the next sync tries again"
        yield warning(AREA, f"{one.type} failed: {one.reason}", mend)
    if partial := by_state.get("partial"):
        yield warning(AREA, f"not read to the end: {_names(partial)}", "`stripe-assets sync` goes on where it was")
    if skipped := by_state.get("skipped"):
        yield warning(AREA, f"skipped by the last sync: {_names(skipped)}", "`stripe-assets status` has Stripe's reasons")
    if never := by_state.get(NEVER):
        yield ok(AREA, f"{len(never)} types were never mirrored")


def _names(types: Iterable[TypeStatus]) -> str:
    return ", ".join(one.type for one in types)
