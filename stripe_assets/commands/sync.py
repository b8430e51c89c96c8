"""Runs the engine from the command line, with its progress on the screen."""

import asyncio
import json
from collections.abc import Iterable
from datetime import UTC, datetime

import typer
import uvloop
from rich.console import Console

from stripe_assets.commands import report
from stripe_assets.commands.accounts import sync_accounts
from stripe_assets.commands.console import errors_console, log_to, results_console
from stripe_assets.commands.endings import INCOMPLETE, tell
from stripe_assets.commands.live import watched
from stripe_assets.errors import ConfigurationError
from stripe_assets.sync.engine import Mirror
from stripe_assets.sync.settings import Settings
from stripe_assets.sync.summary import Summary
from stripe_assets.warehouse.ledger import TypeResult


def moment(date: str | None) -> int | None:
    """Read an ISO date or time, in UTC unless it says otherwise, as seconds since 1970. Raises `ConfigurationError`."""
    if date is None:
        return None
    try:
        found = datetime.fromisoformat(date)
    except ValueError as error:
        raise ConfigurationError(f"--since is {date!r}: give a date like 2026-01-31") from error
    seconds = int((found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp())
    if seconds > datetime.now(UTC).timestamp():
        raise ConfigurationError(f"--since is {date}, which is still to come: give a date like 2026-01-31")
    return seconds


def sync(
    settings: Settings, types: Iterable[str], *, full_refresh: bool, since: int | None, no_limit: bool, as_json: bool, debug: bool
) -> None:
    """Mirror the account, or several, and tell how that ended; exits with 3 if a type is missing."""
    screen = errors_console()
    log_to(screen, debug=debug)
    if settings.accounts:
        sync_accounts(settings, types, screen, full_refresh=full_refresh, since=since, no_limit=no_limit, as_json=as_json)
        return
    summary = run(settings, types, screen, full_refresh=full_refresh, since=since, no_limit=no_limit)
    if as_json:
        typer.echo(json.dumps(report.as_json(summary, settings)))
    else:
        report.show(summary, settings, results_console(), asked=frozenset(types))
    for line in report.misfits(summary, settings):
        tell(f"stripe-assets: {line}")
    if not summary.complete:
        for line in report.missing(summary):
            tell(f"stripe-assets: {line}")
        raise typer.Exit(INCOMPLETE)


def run(
    settings: Settings,
    types: Iterable[str],
    screen: Console,
    *,
    full_refresh: bool = False,
    since: int | None = None,
    no_limit: bool = False,
) -> Summary:
    """Mirror the account, showing the progress on `screen`. Raises what `Mirror.sync` raises."""
    mirror = Mirror(settings)

    def note(result: TypeResult) -> None:
        if not screen.is_terminal:
            screen.print(report.finished(result), markup=False, soft_wrap=True)

    async def go() -> Summary:
        async with watched(mirror, screen):
            return await mirror.sync(types, full_refresh=full_refresh, since=since, no_limit=no_limit, on_result=note)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(go())
