"""Builds the dbt models on a mirror, and reads the few figures of the marts that the demo shows.

What the figures mean stands in `dbt/DECISIONS.md`.
"""

import os
import subprocess
import sys
import tempfile
from collections import defaultdict
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from pathlib import Path

import duckdb
from rich.table import Table

from stripe_assets.commands.console import figures_table
from stripe_assets.commands.endings import CommandError
from stripe_assets.commands.picture import Month
from stripe_assets.commands.places import project_file
from stripe_assets.errors import WarehouseError
from stripe_assets.warehouse.database import Database

TAIL = 25
"""Lines of dbt's output that are shown when it fails."""

REVENUE = """
    select date_trunc('month', revenue_on)::date, currency, sum(gross), sum(refunds), sum(disputes), sum(fees), sum(net)
    from marts.revenue_daily
    where date_trunc('month', revenue_on) > (select date_trunc('month', max(revenue_on)) from marts.revenue_daily) - to_months(?)
    group by all order by 1, 2
"""
# Every month of every currency between its first and the newest, so that a month without MRR is drawn as nothing.
MRR = """
    with months as (select distinct month_on from marts.mrr_monthly),
    firsts as (select currency, min(month_on) as first_on, count(*) as size from marts.mrr_monthly group by all)
    select firsts.currency, months.month_on, coalesce(sum(mrr), 0)
    from firsts
    inner join months on months.month_on >= firsts.first_on
    left join marts.mrr_monthly using (currency, month_on)
    group by firsts.currency, firsts.size, months.month_on
    order by firsts.size desc, firsts.currency, months.month_on
"""


@dataclass(frozen=True, slots=True)
class Figures:
    """Revenue by month and currency; MRR by currency, the one with most customers first; decimals by currency."""

    revenue: list[tuple[date, str, Decimal, Decimal, Decimal, Decimal, Decimal]]
    mrr: dict[str, list[Month]]
    decimals: dict[str, int]


def build(path: Path) -> None:
    """Run `dbt build` on a mirror. Raises `CommandError` with the end of dbt's output if a model or a test fails."""
    project = project_file("dbt")
    environment = {**os.environ, "STRIPE_DUCKDB": str(path.resolve()), "DO_NOT_TRACK": "1"}
    with tempfile.TemporaryDirectory(prefix="stripe-assets-dbt-") as folder:
        command = [
            *(sys.executable, "-m", "dbt.cli.main", "--quiet", "--no-use-colors", "--log-path", folder),
            *("build", "--project-dir", str(project), "--profiles-dir", str(project), "--target-path", folder),
        ]
        done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode:
        said = "\n".join(f"  {line}" for line in done.stdout.splitlines()[-TAIL:] if line.strip())
        raise ModelsFailed(f"the models could not be built (dbt ended with {done.returncode}); the mirror itself is intact", said)


class ModelsFailed(CommandError):
    """A model or a test of dbt failed. `said` is the end of what dbt printed."""

    def __init__(self, message: str, said: str) -> None:
        super().__init__(message)
        self.said = said


def figures(database: Database, *, months: int) -> Figures:
    """Read the last `months` of revenue, and all of MRR. Raises `WarehouseError` where the marts are not built."""
    try:
        with database.open(read_only=True) as connection:
            revenue = connection.execute(REVENUE, [months]).fetchall()
            mrr: dict[str, list[Month]] = defaultdict(list)
            for currency, on, amount in connection.execute(MRR).fetchall():
                mrr[currency].append(Month(on, amount))
            decimals = dict(connection.execute("select currency, minor_units from staging.currencies").fetchall())
    except duckdb.Error as error:
        raise WarehouseError(
            f"the marts in {database.path} cannot be read ({error}): build them with `dbt build --project-dir dbt`"
        ) from error
    return Figures(revenue, dict(mrr), decimals)


def revenue_table(found: Figures) -> Table:
    """Lay out revenue by month and currency, each in its own decimals."""
    table = figures_table("month", "currency", "gross", "refunds", "disputes", "fees", "net", words=2)
    for on, currency, *amounts in found.revenue:
        table.add_row(f"{on:%Y-%m}", currency.upper(), *(f"{amount:,.{found.decimals.get(currency, 2)}f}" for amount in amounts))
    return table
