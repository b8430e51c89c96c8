"""One sync in a process of its own, which says where its time went: `python -m benchmarks.timed URL FILE TYPE ...`.

The database is timed statement by statement: what DuckDB has to do for rows that are spread over big tables is seen here.
"""

import argparse
import asyncio
import json
import re
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import duckdb
import uvloop

from stripe_assets.sync.engine import Mirror
from stripe_assets.sync.settings import Settings
from stripe_assets.warehouse.database import Database

NAMED = re.compile(r'(?:into|from|update|table)\s+([\w."]+)')
"""The table that a statement is about."""
ACCOUNT_LIMIT = 100


@dataclass(frozen=True, slots=True)
class Timed:
    """One sync: seconds, what it did, its peak memory, and how long the file was open for how many transactions.

    `by_verb` and `by_statement` are in seconds, the longest first.
    """

    seconds: float
    rows: int
    requests: int
    throttled: int
    complete: bool
    peak_megabytes: float
    database_seconds: float
    transactions: int
    by_verb: dict[str, float]
    by_statement: dict[str, float]


def sync(url: str, database: Path, types: Sequence[str], *options: str) -> Timed:
    """Run one sync in a process of its own. Options: `--no-limit`, `--full-refresh`."""
    command = [sys.executable, "-m", "benchmarks.timed", *options, url, str(database), *types]
    output = subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout
    return Timed(**json.loads(output))


class _Timing:
    """A connection that notes how long each statement takes."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, spent: dict[str, float]) -> None:
        self._connection = connection
        self._spent = spent

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    def execute(self, query: str, parameters: object = None) -> Any:
        began = time.perf_counter()
        try:
            return self._connection.execute(query, parameters)
        finally:
            named = NAMED.search(query)
            self._spent[f"{query.split()[0]} {named[1] if named else ''}".strip()] += time.perf_counter() - began


class _TimedDatabase(Database):
    """The mirror's file; `held` are the seconds in which it was open, `opened` the times that it was."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.spent: dict[str, float] = defaultdict(float)
        self.held = 0.0
        self.opened = 0

    @contextmanager
    def open(self, *, read_only: bool = False) -> Iterator[duckdb.DuckDBPyConnection]:
        began = time.perf_counter()
        self.opened += 1
        with super().open(read_only=read_only) as connection:
            self.spent["attach"] += time.perf_counter() - began
            yield cast(duckdb.DuckDBPyConnection, _Timing(connection, self.spent))
            ending = time.perf_counter()
        self.spent["detach"] += time.perf_counter() - ending
        self.held += time.perf_counter() - began


def _main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.timed")
    parser.add_argument("url")
    parser.add_argument("file", type=Path)
    parser.add_argument("types", nargs="+")
    parser.add_argument("--no-limit", action="store_true")
    parser.add_argument("--full-refresh", action="store_true")
    asked = parser.parse_args()
    database = _TimedDatabase(asked.file)
    settings = Settings(api_key="sk_test_simulator", api_base=asked.url, duckdb=asked.file, rate_limit=ACCOUNT_LIMIT)
    mirror = Mirror(settings, database=database)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        summary = runner.run(mirror.sync(asked.types, no_limit=asked.no_limit, full_refresh=asked.full_refresh))
    by_verb: dict[str, float] = defaultdict(float)
    for statement, seconds in database.spent.items():
        by_verb[statement.split()[0]] += seconds
    # Not `ru_maxrss`, in which a process begins with what the one had that started it.
    (peak,) = re.findall(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())
    json.dump(
        {
            "seconds": summary.seconds,
            "rows": summary.rows,
            "requests": summary.requests,
            "throttled": sum(summary.throttled.values()),
            "complete": summary.complete,
            "peak_megabytes": int(peak) / 1024,
            "database_seconds": database.held,
            "transactions": database.opened,
            "by_verb": _longest(by_verb),
            "by_statement": _longest(database.spent),
        },
        sys.stdout,
    )


def _longest(spent: Mapping[str, float]) -> dict[str, float]:
    """Give the eight that took longest."""
    return dict(sorted(spent.items(), key=lambda one: -one[1])[:8])


if __name__ == "__main__":
    _main()
