"""Tells how a sync ended: one line or row for each type, what it took, and what is missing and why."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict
from typing import Any

from rich.console import Console

from stripe_assets import allowance
from stripe_assets.catalog.types import load
from stripe_assets.commands.because import because
from stripe_assets.commands.console import figures_table
from stripe_assets.sync.comparison import Comparison
from stripe_assets.sync.settings import Settings
from stripe_assets.sync.summary import Summary
from stripe_assets.warehouse.ledger import TypeResult

MOST_TOLD = 20
"""Lines about what fits no column: a newer API version may bring a hundred fields, and the table has them all."""


def finished(result: TypeResult) -> str:
    """Tell in one line how a type ended."""
    return f"{result.type}: {result.state}, {result.rows:,} rows, {result.requests:,} requests, {result.seconds:.1f} s"


def as_json(summary: Summary, settings: Settings) -> dict[str, Any]:
    """Give the summary as the object that `--json` prints."""
    taken = allowance.by_endpoint(summary.tally)
    return {
        "run_id": summary.run_id,
        "account_id": summary.account_id,
        "duckdb": str(settings.duckdb),
        "complete": summary.complete,
        "rows": summary.rows,
        "requests": summary.requests,
        "seconds": summary.seconds,
        "requests_per_second": allowance.per_second(summary),
        "forecast": asdict(summary.comparison) if summary.comparison is not None else None,
        "missed": dict(summary.missed),
        "throttled": summary.throttled,
        "limiter": asdict(summary.limiter),
        "endpoints": {name: {"requests": sent, "throttled": refused} for name, (sent, refused) in taken.items()},
        "types": [asdict(result) for result in summary.results],
    }


def show(summary: Summary, settings: Settings, console: Console, *, asked: Collection[str] = ()) -> None:
    """Print the table of types, the totals, what held the run up, and why types were read that were not among those `asked` for."""
    table = figures_table("type", "state", "rows", "requests", "seconds", words=2)
    for result in summary.results:
        table.add_row(result.type, result.state, f"{result.rows:,}", f"{result.requests:,}", f"{result.seconds:.1f}")
    table.add_section()
    table.add_row("total", "", f"{summary.rows:,}", f"{summary.requests:,}", f"{summary.seconds:.1f}", style="bold")
    console.print(table)
    console.print(f"\n{settings.duckdb}: {summary.rows:,} rows written by {allowance.line(summary)}", markup=False, soft_wrap=True)
    for line in because(load(), asked, [result.type for result in summary.results]):
        console.print(line, markup=False, soft_wrap=True)
    if summary.missed:
        console.print(gap(summary.missed), markup=False, soft_wrap=True)
    if summary.comparison is not None:
        console.print(forecast(summary.comparison), markup=False, soft_wrap=True)


def gap(missed: Mapping[str, int]) -> str:
    """Tell what was read again from the start because too much time has gone by."""
    days, names = max(missed.values()), ", ".join(sorted(missed))
    return f"nothing was synced for {days} days, and Stripe keeps events for 30: read again from the start were {names}"


def forecast(found: Comparison) -> str:
    """Tell what came of the forecast; where the mirror had nothing to make one from, who makes one."""
    if found.from_nothing:
        return "nothing of this was mirrored before, so no forecast was made: `stripe-assets plan` estimates what a first sync takes"
    return f"forecast: {found.sentence}"


def missing(summary: Summary) -> list[str]:
    """Name each type that is not complete, with the reason; nothing if all are."""
    return reasons(summary.results)


def reasons(results: Iterable[TypeResult]) -> list[str]:
    """Name each of these types that is not complete, with the reason."""
    return [f"{result.type} was {_ended(result)}: {result.reason}" for result in results if result.state != "complete"]


def misfits(summary: Summary, settings: Settings) -> list[str]:
    """Name what came and has no place in a column; nothing if all had. What it said is in `_raw`, if that is kept."""
    place = "kept in _raw" if settings.keep_raw else "not kept, as STRIPE_KEEP_RAW is false"
    lines = [
        f"{result.type}.{one.column}: {one.change}, {one.count:,} times, e.g. in {one.example_id or 'one without an id'}; {place}"
        for result in summary.results
        for one in result.misfits
    ]
    more = [f"{len(lines) - MOST_TOLD} more columns like these: see stripe_sync.schema_changes"] if len(lines) > MOST_TOLD else []
    return lines[:MOST_TOLD] + more


def _ended(result: TypeResult) -> str:
    return "skipped" if result.state == "skipped" else "not completed"
