"""Plans a sync before anything is read, and tells the plan: of the key's own account, or of several.

What is forecast and how belongs in `sync.plan`.
"""

import asyncio
import json
from collections.abc import Iterable

import typer
import uvloop

from stripe_assets.commands.console import errors_console, log_to, results_console
from stripe_assets.commands.endings import INCOMPLETE, tell
from stripe_assets.commands.plan_accounts import plans, tell_plans
from stripe_assets.commands.plan_told import show, to_json
from stripe_assets.sync.accounts import Platform
from stripe_assets.sync.engine import Mirror
from stripe_assets.sync.forecast import Way
from stripe_assets.sync.plan import plan as make
from stripe_assets.sync.settings import Settings


def plan(settings: Settings, types: Iterable[str], *, full_refresh: bool, since: int | None, as_json: bool, debug: bool) -> None:
    """Print what a sync with these options would take, of each account if there are several; exits with 3 if a type would be refused."""
    screen = errors_console()
    log_to(screen, debug=debug)
    with screen.status("asking for a few pages"), asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        if settings.accounts:
            found = runner.run(plans(Platform(settings), types, full_refresh=full_refresh, since=since))
        else:
            made = runner.run(make(Mirror(settings), types, full_refresh=full_refresh, since=since))
    if settings.accounts:
        tell_plans(found, settings, as_json=as_json)
        return
    if as_json:
        typer.echo(json.dumps(to_json(made, settings)))
    else:
        show(made, results_console(), asked=frozenset(types))
    refused = [one for one in made.sync.types if one.way is Way.REFUSED]
    for one in refused:
        tell(f"stripe-assets: {one.type} would be skipped: {one.reason}")
    if refused:
        raise typer.Exit(INCOMPLETE)
