"""Years of nights: a business goes on, and a mirror of it is synced every night, in one process and without a limit.

After each year: how long a run takes and how much it asks, how large the file is beside a new one with the same rows, how much memory a run
takes beyond what the process has (which holds the simulated account as well), and whether the mirror equals the account. Once a year
nothing is synced for longer than Stripe keeps events. Types: those that most accounts live by, as in most tests.
"""

import asyncio
import os
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import mean, median

import duckdb
import psutil
import uvloop

from benchmarks import equal
from stripe_assets.catalog.types import Catalog, load
from stripe_assets.limits.guard import InProcess
from stripe_assets.simulator.account import Account
from stripe_assets.simulator.http import Application, application
from stripe_assets.simulator.in_process import Line
from stripe_assets.sync.engine import Mirror
from stripe_assets.sync.settings import Settings
from stripe_assets.sync.summary import Summary

BEGAN = 1_790_000_000
"""When the first sync is (unix seconds): the same account whenever this runs."""
NIGHTS = 365
GAP = 35
"""Days without a sync, once a year: events are kept for 30."""
GLANCE = 0.02
"""Seconds between two looks at the memory."""


@dataclass(slots=True)
class Year:
    """What the runs of a year took: seconds, requests, rows written, and megabytes of memory beyond those before the run."""

    seconds: list[float] = field(default_factory=list)
    requests: list[int] = field(default_factory=list)
    rows: list[int] = field(default_factory=list)
    megabytes: list[float] = field(default_factory=list)


def run(*, years: int, customers: int, seed: int) -> None:
    """Live through the years, and print each."""
    account = Account(seed=seed, customers=customers, now=BEGAN, connected=0)
    catalog, app, process = few(), application(account), psutil.Process()
    print(f"{customers:,} customers at the beginning, {len(catalog.names)} types, one run a night, once a year none for {GAP} days")
    print(
        f"{'year':>4} {'objects':>9} {'s a run':>8} {'last 30':>8} {'worst':>6} {'requests':>8} {'rows':>6} {'file':>8} {'new file':>9} "
        f"{'ratio':>6} {'raw':>8} {'run takes':>10} {'process':>9} {'load':>5}  equal"
    )
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "mirror.duckdb"
        sync(app, file, catalog)
        for number in range(1, years + 1):
            lived = _year(account, app, file, catalog)
            found = equal.differences(file, account, catalog, tuple(catalog))
            _print(number, lived, file, catalog, process, found)
        fresh = Path(folder) / "fresh.duckdb"
        summary = sync(app, fresh, catalog)
        print(f"a full sync into a new file: {summary.rows:,} rows, {summary.seconds:.1f} s, {fresh.stat().st_size / 1e6:.1f} MB")


def few() -> Catalog:
    """Give a catalog of the types that have been mirrored from the first release on: those that most accounts live by."""
    whole = load()
    kinds = [kind for kind in whole if kind.tested == "0.1.0"]
    return Catalog(whole.api_version, whole.with_parents(kind.name for kind in kinds), whole.event_types)


def sync(app: Application, file: Path, catalog: Catalog) -> Summary:
    """Run one sync as a process of its own would begin it: nothing is kept from the one before but the file."""
    settings = Settings(api_key="sk_live_simulator", api_base="http://stripe.test", duckdb=file)
    mirror = Mirror(settings, catalog=catalog, transport=Line(app), sharing=lambda _allowance: InProcess())
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        summary = runner.run(mirror.sync(no_limit=True))
    assert summary.complete, [result for result in summary.results if result.state != "complete"]
    return summary


def _year(account: Account, app: Application, file: Path, catalog: Catalog) -> Year:
    lived = Year()
    for night in range(NIGHTS - GAP + 1):
        account.advance(days=GAP if night == NIGHTS // 2 else 1)
        with _watched(lived):
            summary = sync(app, file, catalog)
        lived.seconds.append(summary.seconds)
        lived.requests.append(summary.requests)
        lived.rows.append(summary.rows)
    return lived


@contextmanager
def _watched(lived: Year) -> Iterator[None]:
    """Note by how much memory grows at most during the block."""
    process, over = psutil.Process(), threading.Event()
    before = most = process.memory_info().rss

    def look() -> None:
        nonlocal most
        while not over.wait(GLANCE):
            most = max(most, process.memory_info().rss)

    looking = threading.Thread(target=look)
    looking.start()
    try:
        yield
    finally:
        over.set()
        looking.join()
        lived.megabytes.append((most - before) / 1e6)


def _print(number: int, lived: Year, file: Path, catalog: Catalog, process: psutil.Process, found: list[str]) -> None:
    objects, raw = _content(file, catalog)
    size, compact = file.stat().st_size / 1e6, _compact(file)
    print(
        f"{number:>4} {objects:>9,} {median(lived.seconds):>8.2f} {mean(lived.seconds[-30:]):>8.2f} {max(lived.seconds):>6.1f} "
        f"{median(lived.requests):>8.0f} {median(lived.rows):>6.0f} {size:>5.1f} MB {compact:>6.1f} MB {size / compact:>6.2f} "
        f"{raw / 1e6:>5.0f} MB {median(lived.megabytes):>7.0f} MB {process.memory_info().rss / 1e6:>6.0f} MB {os.getloadavg()[0]:>5.1f}  "
        f"{'yes' if not found else f'{len(found)} DIFFERENCES: {found[:3]}'}",
        flush=True,
    )


def _content(file: Path, catalog: Catalog) -> tuple[int, int]:
    """Count the rows of all types, and the bytes of JSON that they are made of."""
    with duckdb.connect(str(file), read_only=True) as connection:
        found = [
            connection.execute(f'select count(*), coalesce(sum(strlen(_raw)), 0) from stripe."{name}"').fetchall() for name in catalog.names
        ]
    return sum(rows[0][0] for rows in found), sum(int(rows[0][1]) for rows in found)


def _compact(file: Path) -> float:
    """Copy a mirror into a new file, and give the megabytes that it has there."""
    copy = file.with_suffix(".copy")
    with duckdb.connect() as connection:
        connection.execute(f"attach '{file}' as old (read_only)")
        version = "v1.5.0" if duckdb.__version__ >= "2" else "latest"
        connection.execute(f"attach '{copy}' as new (storage_version '{version}')")
        connection.execute("copy from database old to new")
    size = copy.stat().st_size / 1e6
    copy.unlink()
    return size
