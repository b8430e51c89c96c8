"""`stripe-assets`: the mirror from the command line, without Dagster, and the demo.

Only arguments and help texts stand here; what a command does is in `commands`, imported when it is called.
"""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from stripe_assets.commands.endings import told

KEPT = "stopped; everything stored so far is kept, and the same command goes on from there"

app = typer.Typer(
    name="stripe-assets",
    help="Mirror a Stripe account into DuckDB at the highest speed that its rate limit allows, and build models on it.",
    epilog="Exit status: 0 complete; 1 could not run; 2 wrong usage or configuration; 3 some types were skipped or failed.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # plain help and plain usage errors: no boxes around one sentence
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import PackageNotFoundError, version

        try:
            typer.echo(f"stripe-assets {version('stripe-assets')}")
        except PackageNotFoundError:
            typer.echo("stripe-assets, not installed")
        raise typer.Exit


@app.callback()
def _options(
    context: typer.Context,
    debug: Annotated[bool, typer.Option("--debug", help="Show the whole log, and tracebacks.")] = False,
    _: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")] = False,
) -> None:
    context.obj = debug


@app.command()
def demo(
    context: typer.Context,
    customers: Annotated[int, typer.Option(min=1, help="Customers of the simulated account.")] = 100,
    seed: Annotated[int, typer.Option(help="Another number makes another account.")] = 1,
    duckdb: Annotated[Path, typer.Option(help="The file to mirror into; made anew each time.")] = Path("data/demo.duckdb"),
) -> None:
    """Mirror a simulated account, build the models and show what came out. Needs no key and no network."""
    with told(debug=context.obj, interrupted="stopped; the demo starts afresh each time"):
        from stripe_assets.commands.demo import demo as run

        run(duckdb, customers=customers, seed=seed, debug=context.obj)


@app.command()
def sync(
    context: typer.Context,
    types: Annotated[list[str] | None, typer.Argument(metavar="TYPE", help="What to mirror, e.g. charges; everything if empty.")] = None,
    full_refresh: Annotated[bool, typer.Option("--full-refresh", help="Read everything again, not only what changed.")] = False,
    since: Annotated[str | None, typer.Option(metavar="DATE", help="Leave out what was created before, e.g. 2026-01-31 (UTC).")] = None,
    no_limit: Annotated[bool, typer.Option("--no-limit", help="Keep no rate limit: for simulators and benchmarks.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one summary object at the end, and nothing else.")] = False,
) -> None:
    """Mirror the account: all of it the first time, what changed afterwards.

    \b
    It reads these environment variables:
    STRIPE_API_KEY      the key, or STRIPE_API_KEY_FILE a file with it
    STRIPE_API_BASE     another address than Stripe's own
    STRIPE_DUCKDB       the file to write: data/stripe.duckdb
    STRIPE_ACCOUNTS     connected accounts besides the key's own: all, or ids with commas between
    STRIPE_RATE_LIMIT   requests per second: 100 live, 25 sandbox
    STRIPE_RATE_SHARE   the part of the limit to take: 1.0
    STRIPE_LIMITER      who shares it: local (all processes of this machine), or redis://..., postgresql://...
    STRIPE_KEEP_RAW     keep each object's JSON: true
    STRIPE_EXCLUDE_COLUMNS  what is never stored: customers.email,charges.billing_details.email
    STRIPE_HASH_COLUMNS     what is stored as a keyed hash, by the key in STRIPE_HASH_KEY
    """
    with told(debug=context.obj, interrupted=KEPT):
        from stripe_assets.commands.sync import moment
        from stripe_assets.commands.sync import sync as run
        from stripe_assets.sync.settings import from_environment

        run(
            from_environment(os.environ),
            types or (),
            full_refresh=full_refresh,
            since=moment(since),
            no_limit=no_limit,
            as_json=as_json,
            debug=context.obj,
        )


@app.command()
def plan(
    context: typer.Context,
    types: Annotated[list[str] | None, typer.Argument(metavar="TYPE", help="What to plan, e.g. charges; everything if empty.")] = None,
    full_refresh: Annotated[bool, typer.Option("--full-refresh", help="Plan to read everything again.")] = False,
    since: Annotated[str | None, typer.Option(metavar="DATE", help="Plan to leave out what was created before (UTC).")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one object, and nothing else.")] = False,
) -> None:
    """Forecast what `sync` with the same options would take: requests, time, share of what Stripe allots.

    Looks at the mirror, and where that does not know at a few pages of each list. Reads the variables of `sync`; several accounts
    have a line each.
    """
    with told(debug=context.obj):
        from stripe_assets.commands.plan import plan as run
        from stripe_assets.commands.sync import moment
        from stripe_assets.sync.settings import from_environment

        run(
            from_environment(os.environ),
            types or (),
            full_refresh=full_refresh,
            since=moment(since),
            as_json=as_json,
            debug=context.obj,
        )


@app.command()
def status(
    context: typer.Context,
    everything: Annotated[bool, typer.Option("--all", help="List also the types that were never mirrored.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one object, and nothing else.")] = False,
) -> None:
    """Show what is mirrored: each account's last run; rows, last sync, state, lag and dead letters by type.

    Reads the file that STRIPE_DUCKDB names (data/stripe.duckdb).
    """
    with told(debug=context.obj):
        from stripe_assets.commands.status import status as run
        from stripe_assets.sync.settings import duckdb_path

        run(duckdb_path(os.environ), everything=everything, as_json=as_json, debug=context.obj)


@app.command()
def redrive(
    context: typer.Context,
    types: Annotated[list[str] | None, typer.Argument(metavar="TYPE", help="Whose dead letters, e.g. charges; all if empty.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one summary object at the end, and nothing else.")] = False,
) -> None:
    """Try again only what failed: the dead letters, and the types that could not be read because of them.

    Reads the variables of `sync`. Exits with 0 if none are left.
    """
    with told(debug=context.obj, interrupted=KEPT):
        from stripe_assets.commands.redrive import redrive as run
        from stripe_assets.sync.settings import from_environment

        run(from_environment(os.environ), types or (), as_json=as_json, debug=context.obj)


@app.command()
def simulate(
    context: typer.Context,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Where to listen on 127.0.0.1; 0 takes a free port.")] = 12111,
    seed: Annotated[int, typer.Option(help="Another number makes another account.")] = 1,
    customers: Annotated[int, typer.Option(min=0, help="Customers of the account.")] = 200,
    connected: Annotated[int, typer.Option(min=0, metavar="N", help="Accounts that are connected to it.")] = 3,
    latency: Annotated[float, typer.Option(min=0, metavar="SECONDS", help="How long each answer takes.")] = 0.0,
    account_limit: Annotated[int | None, typer.Option(min=1, metavar="N", help="Requests per second that are answered; else 429.")] = None,
    endpoint_limit: Annotated[int | None, typer.Option(min=1, metavar="N", help="The same for each endpoint.")] = None,
    fault: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=RATE", help="Let a share of the requests go wrong, e.g. server-error=0.02; may be repeated."),
    ] = None,
    live: Annotated[bool, typer.Option("--live", help="Let the account go on changing.")] = False,
) -> None:
    """Serve a simulated Stripe account over HTTP until interrupted."""
    with told(debug=context.obj):
        from stripe_assets.commands.simulate import Manners, fault_rates
        from stripe_assets.commands.simulate import simulate as run

        manners = Manners(latency, account_limit, endpoint_limit, fault_rates(fault or ()), live)
        run(port=port, seed=seed, customers=customers, connected=connected, manners=manners)


@app.command()
def ui(
    context: typer.Context,
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port of the page.")] = 3000,
    host: Annotated[str, typer.Option(help="Address of the page; it asks for no password.")] = "127.0.0.1",
) -> None:
    """Open Dagster's web page with this project loaded and its history kept.

    Reads the variables of `sync`. The history is kept in the folder `dagster` beside the file that STRIPE_DUCKDB names.
    """
    with told(debug=context.obj):
        from stripe_assets.commands.ui import ui as run

        run(os.environ, host=host, port=port)


@app.command()
def doctor(
    context: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="Print one object, and nothing else.")] = False,
) -> None:
    """Check key, permissions, file, limits and Dagster; say what is wrong and how to mend it. Changes nothing.

    Asks Stripe once for each type. Exit status: 0 nothing is wrong, 1 Stripe could not be asked, 2 the configuration is wrong,
    3 some types cannot be read.
    """
    with told(debug=context.obj):
        from stripe_assets.commands.doctor import doctor as run

        run(os.environ, as_json=as_json, debug=context.obj)


def main() -> None:
    """Run the command that was typed."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a terminal without these letters shows question marks, no traceback
    app(prog_name="stripe-assets")


if __name__ == "__main__":
    main()
