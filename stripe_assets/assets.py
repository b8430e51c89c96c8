"""One asset per object type, all read by one step: they share one limiter, one event loop and one database file.

Every type of the catalog becomes an asset by itself. What a sync does belongs in `sync`.
"""

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import dagster as dg

from stripe_assets import allowance, checks, partitions, runs
from stripe_assets.catalog.types import Catalog, ObjectType, load
from stripe_assets.errors import MirrorError
from stripe_assets.resources import StripeResource
from stripe_assets.sync.accounts import Platform
from stripe_assets.sync.engine import Mirror
from stripe_assets.sync.summary import Summary
from stripe_assets.warehouse.database import Database
from stripe_assets.warehouse.ledger import TypeResult
from stripe_assets.warehouse.tables import SQL_TYPES, literal, table

POOL = "stripe_duckdb"
"""Everything that writes the mirror's file, so that an instance can let one of them run at a time."""
REPORT_EVERY = 10.0
"""Seconds between two lines about a run's progress in Dagster's log."""


def asset_key(name: str) -> dg.AssetKey:
    """Name a type's asset, as dbt's source of the same name does."""
    return dg.AssetKey(["stripe", name])


def specs(catalog: Catalog) -> list[dg.AssetSpec]:
    """Describe every type as an asset, parents before their children."""
    return [_spec(kind) for kind in catalog]


def _spec(kind: ObjectType) -> dg.AssetSpec:
    columns = [dg.TableColumn(column.name, SQL_TYPES[column.kind]) for column in kind.columns]
    comes = f", with {kind.parent.type}" if kind.parent else ""
    return dg.AssetSpec(
        key=asset_key(kind.name),
        deps=[asset_key(kind.parent.type)] if kind.parent else [],
        group_name=kind.group,
        description=f"Every `{kind.object}` of the account, as `{kind.path}` lists them{comes}: the table `stripe.{kind.name}`.",
        kinds={"stripe", "duckdb"},
        skippable=True,
        metadata={
            "endpoint": kind.endpoint,
            "dagster/table_name": f"stripe.{kind.name}",
            "dagster/column_schema": dg.TableSchema(columns),
        },
    )


class SyncConfig(dg.Config):
    """How to sync: `full_refresh` reads everything again, `no_limit` keeps no rate (for simulated accounts)."""

    full_refresh: bool = False
    no_limit: bool = False


def mirrored(accounts: Sequence[str] = ()) -> dg.AssetsDefinition:
    """Give the types as assets, with a partition for each account if there are several: `accounts` as STRIPE_ACCOUNTS names them."""

    @dg.multi_asset(
        name="stripe",
        specs=specs(load()),
        check_specs=checks.specs(asset_key(kind.name) for kind in load()),
        can_subset=True,
        pool=POOL,
        partitions_def=partitions.definition(accounts),
        backfill_policy=dg.BackfillPolicy.single_run() if accounts else None,
    )
    async def mirrored(context: dg.AssetExecutionContext, config: SyncConfig, stripe: StripeResource):  # type: ignore[no-untyped-def]  # Dagster refuses a return annotation on it
        """Mirror the selected types."""
        names = sorted(key.path[-1] for key in context.selected_asset_keys)
        try:
            if accounts:
                ended = await _sync_accounts(stripe, names, config, partitions.accounts_of(context.partition_keys), context)
            else:
                ended = await _sync_one(stripe, names, config, context)
        except MirrorError as error:
            raise dg.Failure(description=str(error), allow_retries=False) from error
        results = [result for result in ended.results if result.type in names]
        for result in results:
            for event in _events(result, ended.rows[result.type], ended.of_the_run):
                yield event
        failed = [f"{result.type}: {result.reason}" for result in results if result.state == "failed"]
        if failed or ended.errors:
            raise dg.Failure(description="; ".join([*ended.errors, *failed]))

    return mirrored


@dataclass(frozen=True, slots=True)
class _Ended:
    """How the types ended, the rows that their tables hold of these accounts, and what of accounts could not be synced at all."""

    results: Sequence[TypeResult]
    rows: Mapping[str, int]
    of_the_run: Mapping[str, dg.MetadataValue]
    errors: Sequence[str] = ()


async def _sync_one(stripe: StripeResource, names: Sequence[str], config: SyncConfig, context: dg.AssetExecutionContext) -> _Ended:
    mirror = stripe.mirror()
    summary = await _sync(mirror, names, config, say=context.log.info)
    context.log_event(runs.materialization(summary, say=context.log.warning))
    return _Ended(summary.results, _row_counts(mirror.database, names, [summary.account_id]), runs.one_line(summary))


async def _sync_accounts(
    stripe: StripeResource, names: Sequence[str], config: SyncConfig, wanted: Sequence[str | None], context: dg.AssetExecutionContext
) -> _Ended:
    ids: list[str] = []

    def tell(summary: Summary) -> None:
        ids.append(summary.account_id)
        context.log.info(f"{summary.account_id}: {summary.rows:,} rows by {allowance.line(summary)}")
        context.log_event(runs.materialization(summary, say=context.log.warning, drawn=len(wanted) == 1))

    platform, merged = Platform(stripe.settings()), partitions.Merged(on_summary=tell)
    await platform.sync(names, accounts=wanted, full_refresh=config.full_refresh, no_limit=config.no_limit, on_account=merged.add)
    of_the_run = {"accounts synced": dg.MetadataValue.int(len(ids)), "more of the run": dg.MetadataValue.asset(runs.KEY)}
    return _Ended(list(merged.results.values()), _row_counts(platform.database, names, ids), of_the_run, merged.errors)


async def _sync(mirror: Mirror, names: Sequence[str], config: SyncConfig, *, say: Callable[[str], None]) -> Summary:
    """Sync, and say every few seconds how far it is."""
    reporting = asyncio.create_task(_report(mirror, say))
    try:
        summary = await mirror.sync(names, full_refresh=config.full_refresh, no_limit=config.no_limit)
    finally:
        reporting.cancel()
    say(f"{summary.rows:,} rows by {allowance.line(summary)}")
    return summary


async def _report(mirror: Mirror, say: Callable[[str], None]) -> None:
    while True:
        await asyncio.sleep(REPORT_EVERY)
        progress = mirror.progress
        busy = ", ".join(one.name for one in progress.types.values() if one.state == "reading" and one.pages_left)
        so_far = f"{progress.phase}: {progress.rows:,} rows by {progress.requests:,} requests; now {busy or 'storing'}"
        say(" · ".join(part for part in (so_far, allowance.at_work(mirror)) if part))


def _row_counts(database: Database, names: Sequence[str], accounts: Sequence[str]) -> dict[str, int]:
    """Count what the tables hold of these accounts, deleted objects left out."""
    catalog = load()
    counts = f"select count(*) from {{}} where _deleted_at is null and _account_id in ({', '.join(map(literal, accounts)) or 'null'})"
    with database.open(read_only=True) as connection:
        return {name: connection.execute(counts.format(table(catalog[name]))).fetchall()[0][0] for name in names}


def _events(
    result: TypeResult, rows: int, of_the_run: Mapping[str, dg.MetadataValue]
) -> Iterator[dg.MaterializeResult[None] | dg.AssetCheckResult]:
    """Say how a type ended. A failed one is not materialised; a skipped one is, with its reason, so that models build."""
    key = asset_key(result.type)
    if result.state != "failed":
        metadata: dict[str, str | int | float | dg.MetadataValue] = {
            "dagster/row_count": rows,
            "rows written": result.rows,
            "requests": result.requests,
            "seconds": result.seconds,
            "state": result.state,
            **({"reason": result.reason} if result.reason else {}),
            **({"in no column": _misfits(result)} if result.misfits else {}),
            **of_the_run,
        }
        yield dg.MaterializeResult(asset_key=key, metadata=metadata)
    yield checks.completeness(key, result)


def _misfits(result: TypeResult) -> dg.TableMetadataValue:
    """List what came and has no place in a column; what it said is in `_raw`."""
    return dg.MetadataValue.table(
        [
            dg.TableRecord({"column": one.column, "came as": one.change, "times": one.count, "for example in": one.example_id or ""})
            for one in result.misfits
        ]
    )
