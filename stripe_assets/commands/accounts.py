"""Runs a sync of several accounts from the command line, and tells how each ended."""

import asyncio
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from time import monotonic
from typing import Any

import typer
import uvloop
from rich.console import Console

from stripe_assets.commands.console import MOST_SHOWN, figures_table, results_console, span
from stripe_assets.commands.endings import INCOMPLETE, tell
from stripe_assets.sync.accounts import Outcome, Platform
from stripe_assets.sync.settings import Settings
from stripe_assets.sync.summary import Summary

LINE = 2.0
"""Seconds between two lines about how far it is."""


def sync_accounts(
    settings: Settings,
    types: Iterable[str],
    screen: Console,
    *,
    full_refresh: bool,
    since: int | None,
    no_limit: bool,
    as_json: bool,
) -> None:
    """Mirror all accounts that the settings name; exits with 3 if anything of one of them is missing."""
    platform, began = Platform(settings), monotonic()

    def note(outcome: Outcome, _summary: Summary | None) -> None:
        if not as_json:
            screen.print(_line(outcome), markup=False, soft_wrap=True)

    async def go() -> list[Outcome]:
        telling = asyncio.create_task(_tell(platform, screen))
        try:
            return await platform.sync(types, full_refresh=full_refresh, since=since, no_limit=no_limit, on_account=note)
        finally:
            telling.cancel()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        outcomes = runner.run(go())
    seconds = monotonic() - began
    if as_json:
        typer.echo(json.dumps(_json(outcomes, settings, seconds)))
    else:
        _show(outcomes, settings, seconds, results_console())
    if not all(outcome.complete for outcome in outcomes):
        for outcome in outcomes:
            for reason in _missing(outcome):
                tell(f"stripe-assets: {outcome.account_id}: {reason}")
        raise typer.Exit(INCOMPLETE)


async def _tell(platform: Platform, screen: Console) -> None:
    while True:
        await asyncio.sleep(LINE)
        at = platform.progress
        screen.print(
            f"{at.done:,} accounts done, {at.incomplete:,} of them not complete, {at.begun - at.done:,} under way · "
            f"{at.rows:,} rows · {at.requests:,} requests",
            markup=False,
            soft_wrap=True,
        )


def _json(outcomes: Sequence[Outcome], settings: Settings, seconds: float) -> dict[str, Any]:
    return {
        "duckdb": str(settings.duckdb),
        "complete": all(outcome.complete for outcome in outcomes),
        "rows": sum(outcome.rows for outcome in outcomes),
        "requests": sum(outcome.requests for outcome in outcomes),
        "seconds": round(seconds, 3),
        "accounts": [{"complete": outcome.complete, **asdict(outcome)} for outcome in outcomes],
    }


def _show(outcomes: Sequence[Outcome], settings: Settings, seconds: float, console: Console) -> None:
    table = figures_table("account", "state", "rows", "requests", "seconds", words=2)
    shown = outcomes if len(outcomes) <= MOST_SHOWN else [outcome for outcome in outcomes if not outcome.complete]
    for outcome in shown:
        table.add_row(outcome.account_id, _state(outcome), f"{outcome.rows:,}", f"{outcome.requests:,}", f"{outcome.seconds:.1f}")
    rows, requests = sum(outcome.rows for outcome in outcomes), sum(outcome.requests for outcome in outcomes)
    table.add_section()
    table.add_row(f"{len(outcomes):,} accounts", "", f"{rows:,}", f"{requests:,}", f"{seconds:.1f}", style="bold")
    console.print(table)
    console.print(f"\n{settings.duckdb}: {rows:,} rows written by {requests:,} requests in {span(seconds)}", markup=False, soft_wrap=True)


def _line(outcome: Outcome) -> str:
    return f"{outcome.account_id}: {_state(outcome)}, {outcome.rows:,} rows, {outcome.requests:,} requests, {outcome.seconds:.1f} s"


def _state(outcome: Outcome) -> str:
    if outcome.error is not None:
        return "failed"
    states = [result.state for result in outcome.missing]
    parts = [f"{states.count(state)} {state}" for state in ("skipped", "failed") if state in states]
    return ", ".join(parts) or "complete"


def _missing(outcome: Outcome) -> list[str]:
    if outcome.error is not None:
        return [outcome.error]
    return [
        f"{result.type} was {'skipped' if result.state == 'skipped' else 'not completed'}: {result.reason}" for result in outcome.missing
    ]
