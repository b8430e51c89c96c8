"""Says what keeps a mirror from working, and how to mend it: the key, what it may read, the file, the limits, Dagster.

Nothing is written into the mirror. The file is looked at in `doctor_file`, Dagster in `doctor_dagster`, Stripe is asked in `doctor_stripe`.
"""

import json
import logging
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from time import time

import typer

from stripe_assets.catalog.types import load
from stripe_assets.commands import doctor_file, doctor_stripe
from stripe_assets.commands.console import errors_console, log_to, results_console
from stripe_assets.commands.endings import COULD_NOT_RUN, INCOMPLETE, WRONG_USAGE
from stripe_assets.commands.findings import Finding, first_status, show
from stripe_assets.sync.settings import accounts_named, duckdb_path

ORDER = (WRONG_USAGE, COULD_NOT_RUN, INCOMPLETE)
"""Which exit status wins where several things are wrong: what has to be mended before anything else can be known."""


def doctor(environment: Mapping[str, str], *, as_json: bool, debug: bool) -> None:
    """Examine everything and print it; exits with 0 if nothing is wrong, else as `ORDER` says."""
    log_to(errors_console(), debug=debug)
    if not debug:
        logging.getLogger("stripe_assets").setLevel(logging.ERROR)  # what is worth a warning is a finding
    path, catalog, now = duckdb_path(environment), load(), datetime.fromtimestamp(time(), UTC)
    heard = doctor_stripe.ask(environment, catalog, path, now)
    findings = [*heard.findings, *doctor_file.examine(path, catalog, now=now), *_dagster(environment)]
    status = first_status(findings, ORDER)
    if as_json:
        typer.echo(
            json.dumps(
                {
                    "ok": status == 0,
                    "findings": [{name: value for name, value in asdict(one).items() if name != "status"} for one in findings],
                    "types": [asdict(one) for one in heard.accounts[0].types] if heard.accounts else [],
                    **({"accounts": [asdict(one) for one in heard.accounts]} if accounts_named(environment) else {}),
                }
            )
        )
    else:
        show(findings, results_console())
    if status:
        raise typer.Exit(status)


def _dagster(environment: Mapping[str, str]) -> Iterator[Finding]:
    from stripe_assets.commands import doctor_dagster  # Dagster takes two seconds to load: not before the rest is known

    yield from doctor_dagster.examine(environment)
