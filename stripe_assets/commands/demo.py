"""The whole way once, on a simulated account: mirror, models, figures, a picture, and what to try next."""

from pathlib import Path
from time import monotonic

import duckdb
from rich.console import Console

from stripe_assets.commands import marts, report
from stripe_assets.commands.console import errors_console, log_to, results_console, span
from stripe_assets.commands.endings import CommandError, tell
from stripe_assets.commands.picture import picture
from stripe_assets.commands.places import project_file
from stripe_assets.commands.sync import run
from stripe_assets.errors import WarehouseError
from stripe_assets.simulator.account import Account
from stripe_assets.simulator.keys import DEFAULT_KEY
from stripe_assets.simulator.server import serving
from stripe_assets.sync.settings import ENDPOINT_LIMIT, LIVE_LIMIT, Settings
from stripe_assets.warehouse.database import Database

LATENCY = 0.1
"""Seconds that an answer takes: about what Stripe's lists take."""
MONTHS = 3
"""Months of revenue that are shown."""
WAIT = 10.0
"""Seconds to wait for somebody who has the demo's file open; a person watches."""
MARK = "stripe_sync.demo"
"""A table that says that a file was made by the demo and may be made anew."""


def demo(path: Path, *, customers: int, seed: int, debug: bool) -> None:
    """Run the demo into `path`, which is made anew. Raises `CommandError`, `WarehouseError` and what a sync raises."""
    screen, out = errors_console(), results_console()
    log_to(screen, debug=debug)
    project_file("dbt")
    try:
        make_anew(path)
    except WarehouseError as error:
        raise WarehouseError(f"{error} (for the demo: --duckdb)") from error
    tell(f"1. A simulated Stripe account with {customers:,} customers, as slow and as strict as the real one")
    account = Account(seed=seed, customers=customers)
    with serving(account, latency=LATENCY, account_limit=int(LIVE_LIMIT), endpoint_limit=int(ENDPOINT_LIMIT), seed=seed) as server:
        settings = Settings(api_key=DEFAULT_KEY, api_base=server.url, duckdb=path, rate_limit=LIVE_LIMIT)
        tell(f"2. Its mirror, read from {server.url} into {path}")
        summary = run(settings, (), screen)
    report.show(summary, settings, out)
    if not summary.complete:
        raise CommandError("the demo could not mirror everything: " + "; ".join(report.missing(summary)))
    tell("\n3. dbt builds and tests the models")
    began = monotonic()
    try:
        with screen.status("dbt is at work"):
            marts.build(path)
    except marts.ModelsFailed as error:
        tell(error.said)
        raise
    tell(f"   done in {span(monotonic() - began)}")
    show_figures(Database(path, wait=WAIT), out)
    show_next(path, out)


def make_anew(path: Path) -> None:
    """Remove what an earlier demo left, and mark the new file. Raises `WarehouseError` for a file that is not the demo's."""
    database = Database(path, wait=WAIT)
    with database.only_sync():
        if path.exists():
            with database.open() as connection:
                ours = connection.execute("select 1 from duckdb_tables() where schema_name || '.' || table_name = ?", [MARK]).fetchone()
            if ours is None:
                raise WarehouseError(f"{path} was not made by the demo, and is left alone: choose another file")
            for leftover in (path, path.with_name(f"{path.name}.wal")):
                leftover.unlink(missing_ok=True)
        try:
            with database.open() as connection:
                connection.execute("create schema if not exists stripe_sync")
                connection.execute(f"create table {MARK} (made_at timestamptz default now())")
        except duckdb.Error as error:
            raise WarehouseError(f"{path} cannot be written ({error}): choose another file") from error


def show_figures(database: Database, out: Console) -> None:
    """Print the last months of revenue and the picture of MRR."""
    found = marts.figures(database, months=MONTHS)
    out.print("\nRevenue of the last months (marts.revenue_daily; currencies are never added up)\n")
    out.print(marts.revenue_table(found))
    out.print("")
    for line in picture(found.mrr, decimals=found.decimals):
        out.print(line, markup=False, soft_wrap=True)


def show_next(path: Path, out: Console) -> None:
    """Print the commands that one may want now."""
    query = "select * from stripe.charges limit 5"
    lines = (
        ("what is mirrored, and how fresh", f"STRIPE_DUCKDB={path} stripe-assets status"),
        ("ask it something", f"python -c \"import duckdb; print(duckdb.connect('{path}', read_only=True).sql('{query}'))\""),
        ("Dagster's page with the asset graph", f"STRIPE_DUCKDB={path} stripe-assets ui"),
        ("an account that goes on changing", "stripe-assets simulate --live"),
        ("your own account", "STRIPE_API_KEY=rk_live_... stripe-assets sync"),
    )
    out.print("\nWhat to try next")
    for what, command in lines:
        out.print(f"  {what}:\n    {command}", markup=False, soft_wrap=True)
