"""The newest run of every account, as the file tells it: for `status` and `doctor`. How types stand belongs in `status`."""

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import duckdb

from stripe_assets.commands.console import MOST_SHOWN, span
from stripe_assets.sync.accounts import OWN
from stripe_assets.warehouse import migrations

WITH_ACCOUNTS = 4
"""The version of the books from which on a run says whose it is; before, its types do, if it has read any."""
OF_ITS_TYPES = "(select any_value(account_id) from stripe_sync.run_types t where t.run_id = r.run_id)"
NEWEST = """
    select run_id, {account} as account, state, started_at, ended_at, requests, seconds,
        json_extract_string(details, '$.error'), json_extract_string(details, '$.pid')
    from stripe_sync.runs r
    qualify row_number() over (partition by account order by started_at desc) = 1
    order by started_at desc
"""


@dataclass(frozen=True, slots=True)
class LastRun:
    """The newest run of an account: `running`, `complete`, `partial`, `failed` or `interrupted`; of one that failed the `reason`.

    Without `account_id` nobody could say whose key it was.
    """

    run_id: str
    account_id: str | None
    state: str
    started_at: datetime
    ended_at: datetime | None
    requests: int | None
    seconds: float | None
    reason: str | None

    @property
    def line(self) -> str:
        """The run in words."""
        took = f", {self.requests:,} requests in {span(self.seconds)}" if self.seconds is not None and self.requests is not None else ""
        why = f": {self.reason}" if self.reason else ""
        ended = took if self.ended_at is not None else ", not ended"
        return f"last sync {self.started_at:%Y-%m-%d %H:%M:%S} UTC, {self.state}{ended}{why}"

    @property
    def whose(self) -> str:
        """The account's name."""
        return self.account_id or OWN


def last_runs(connection: duckdb.DuckDBPyConnection) -> list[LastRun]:
    """Read each account's newest run, the newest of all first.

    One of nobody knows whose account counts only while no other has begun since: whose it was may be known by now.
    """
    account = "r.account_id" if migrations.version(connection) >= WITH_ACCOUNTS else OF_ITS_TYPES
    found = [_run(row) for row in connection.execute(NEWEST.format(account=account)).fetchall()]
    return [run for place, run in enumerate(found) if run.account_id is not None or place == 0]


def lines(runs: Sequence[LastRun]) -> Iterator[str]:
    """Tell the run of the one account, or of several in a line each: many only as far as something is missing of them."""
    if len(runs) == 1:
        yield runs[0].line
        return
    states = [run.state for run in runs]
    counts = ", ".join(f"{states.count(state):,} {state}" for state in dict.fromkeys(states))
    yield f"the last sync of {len(runs):,} accounts: {counts}"
    shown = runs if len(runs) <= MOST_SHOWN else [run for run in runs if run.state != "complete"]
    for run in _by_name(shown):
        yield f"  {run.whose}: {run.line}"


def _by_name(runs: Iterable[LastRun]) -> list[LastRun]:
    return sorted(runs, key=lambda run: run.whose)


def _run(row: tuple[Any, ...]) -> LastRun:
    run_id, account_id, state, started_at, ended_at, requests, seconds, reason, pid = row
    if state == "running" and not _alive(pid):
        state = "interrupted"
    return LastRun(run_id, account_id, state, started_at, ended_at, requests, seconds, reason)


def _alive(pid: str | None) -> bool:
    try:
        os.kill(int(pid or 0), 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return bool(pid)
