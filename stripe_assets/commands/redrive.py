"""Tries the dead letters again, and tells how many are mended and why others are not."""

import asyncio
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import typer
import uvloop
from rich.console import Console

from stripe_assets import allowance
from stripe_assets.catalog.types import Catalog, load
from stripe_assets.commands import report
from stripe_assets.commands.console import errors_console, figures_table, log_to, results_console
from stripe_assets.commands.endings import INCOMPLETE, tell
from stripe_assets.commands.live import watched
from stripe_assets.commands.mirrored import reading
from stripe_assets.errors import RequestError
from stripe_assets.sync.accounts import Platform
from stripe_assets.sync.engine import Mirror
from stripe_assets.sync.opening import OWN_ACCOUNT
from stripe_assets.sync.settings import ALL_ACCOUNTS, Settings, known_types
from stripe_assets.sync.summary import Summary
from stripe_assets.warehouse.ledger import TypeResult
from stripe_assets.warehouse.letters import Standing, begun, standing


@dataclass(frozen=True, slots=True)
class Outcome:
    """The dead letters of one type of one account: how many were mended, how many are left and why."""

    type: str
    account_id: str
    mended: int
    left: int
    reason: str | None
    request_id: str | None


Ends = Mapping[str, Summary | RequestError]
"""How the runs ended, by account."""


def redrive(settings: Settings, types: Iterable[str], *, as_json: bool, debug: bool) -> None:
    """Try the dead letters again, those of the named types or all, and tell how that ended; exits with 3 if some are left."""
    screen = errors_console()
    log_to(screen, debug=debug)
    catalog = load()
    names = known_types(catalog, types)
    before, known = look(settings, catalog, names)
    again = [one for one in before if one.again]
    ends: Ends = {}
    if again and settings.accounts:
        ends = run_accounts(settings, again, known)
    elif again:
        summary = run(Mirror(settings, catalog=catalog), {one.type for one in again}, known, screen)
        ends = {summary.account_id: summary}
    after = look(settings, catalog, names)[0] if ends else before
    found = outcomes(before, after, ends, several=bool(settings.accounts))
    if as_json:
        typer.echo(json.dumps(to_json(found, ends, settings)))
    else:
        show(found, ends, settings, results_console())
    if missing := _missing(found, ends, several=bool(settings.accounts)):
        for line in missing:
            tell(f"stripe-assets: {line}")
        raise typer.Exit(INCOMPLETE)


def _missing(found: Sequence[Outcome], ends: Ends, *, several: bool) -> list[str]:
    """Name what is not mended, and why."""
    lines: list[str] = []
    for one in found:
        if one.left:
            whose = f"{one.account_id}: " if several else ""
            lines.append(f"{whose}{one.type} has {one.left:,} dead letter{'s' if one.left > 1 else ''} left: {one.reason}")
    named = {(one.account_id, one.type) for one in found if one.left}
    for account_id, end in ends.items():
        whose = f"{account_id}: " if several else ""
        if isinstance(end, Summary):
            results = [result for result in end.results if result.state != "complete" and (account_id, result.type) not in named]
            lines += [f"{whose}{result.type} is {result.state}: {result.reason}" for result in results]
    return lines


def look(settings: Settings, catalog: Catalog, names: Iterable[str]) -> tuple[list[Standing], frozenset[str]]:
    """Read the dead letters of these types, and which types the mirror has begun. Raises `CommandError` without a mirror."""
    wanted = set(names)
    with reading(settings.duckdb) as connection:
        return [one for one in standing(connection) if one.type in wanted], begun(connection, catalog)


def run(mirror: Mirror, types: Iterable[str], known: Iterable[str], screen: Console) -> Summary:
    """Ask again, showing the progress on `screen`. Raises what `Mirror.redrive` raises."""

    def note(result: TypeResult) -> None:
        if not screen.is_terminal:
            screen.print(report.finished(result), markup=False, soft_wrap=True)

    async def go() -> Summary:
        async with watched(mirror, screen):
            return await mirror.redrive(types, known=known, on_result=note)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(go())


def run_accounts(settings: Settings, letters: Iterable[Standing], known: frozenset[str]) -> Ends:
    """Ask again for these letters, of each account that the settings name and that has some. Raises what `Platform.redrive` raises."""
    platform = Platform(settings)

    async def go() -> Ends:
        own = await platform.own_id() or OWN_ACCOUNT
        types: dict[str | None, set[str]] = {}
        for one in letters:
            if one.account_id == own or ALL_ACCOUNTS in settings.accounts or one.account_id in settings.accounts:
                types.setdefault(None if one.account_id == own else one.account_id, set()).add(one.type)
        return dict(await platform.redrive({account: frozenset(some) for account, some in types.items()}, known=known))

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(go())


def outcomes(before: Sequence[Standing], after: Sequence[Standing], ends: Ends, *, several: bool) -> list[Outcome]:
    """Compare the letters from before with those that are left after the runs that ended so, if there were any."""
    had, left = Counter[tuple[str, str]](), Counter[tuple[str, str]]()
    for count, letters in ((had, before), (left, after)):
        for one in letters:
            count[one.type, one.account_id] += one.count
    why = {(one.type, one.account_id): one for one in after}
    return [
        Outcome(
            type=key[0],
            account_id=key[1],
            mended=max(0, had[key] - left[key]),
            left=left[key],
            reason=_reason(why[key], ends, several=several) if key in why else None,
            request_id=why[key].request_id if key in why else None,
        )
        for key in sorted({*had, *left})
    ]


def _reason(one: Standing, ends: Ends, *, several: bool) -> str:
    """Say why letters are left; where asking again cannot help, what does."""
    if not one.again:
        return f"{one.reason}; `stripe-assets sync --full-refresh {one.type}` reads all of them again"
    end = ends.get(one.account_id)
    if isinstance(end, RequestError):
        return str(end)
    if end is None and several:
        return f"they belong to the account {one.account_id}, which STRIPE_ACCOUNTS does not name"
    if end is None and ends:
        return f"they belong to the account {one.account_id}, and the key is for {next(iter(ends))}"
    results = end.results if end is not None else ()
    now = next((result.reason for result in results if result.type == one.type and result.reason is not None), one.reason)
    return f"{now} (tried {one.attempts} times)" if now == one.reason else now


def show(found: Sequence[Outcome], ends: Ends, settings: Settings, out: Console) -> None:
    """Print a row for each type that had dead letters, by account where there are several, or that there were none."""
    if not found:
        out.print(f"{settings.duckdb}: there are no dead letters, nothing to do", markup=False, soft_wrap=True)
        return
    whose = ["account"] if settings.accounts else []
    table = figures_table(*whose, "type", "mended", "still failing", words=1 + len(whose))
    for one in found:
        table.add_row(*([one.account_id] if whose else []), one.type, f"{one.mended:,}", f"{one.left:,}")
    table.add_section()
    mended, left = sum(one.mended for one in found), sum(one.left for one in found)
    table.add_row("total", *("" for _ in whose), f"{mended:,}", f"{left:,}", style="bold")
    out.print(table)
    for account_id, end in ends.items():
        if isinstance(end, Summary):
            by = f"{account_id}: " if whose else f"{settings.duckdb}: "
            out.print(f"\n{by}{end.rows:,} rows written by {allowance.line(end)}", markup=False, soft_wrap=True)


def to_json(found: Sequence[Outcome], ends: Ends, settings: Settings) -> dict[str, Any]:
    """Give the outcome as the object that `--json` prints; of several accounts `accounts` has the runs."""
    summaries = [end for end in ends.values() if isinstance(end, Summary)]
    one = summaries[0] if summaries and not settings.accounts else None
    return {
        "duckdb": str(settings.duckdb),
        "mended": sum(one.mended for one in found),
        "left": sum(one.left for one in found),
        "run_id": one.run_id if one is not None else None,
        "requests": sum(summary.requests for summary in summaries),
        "letters": [asdict(one) for one in found],
        "types": [asdict(result) for result in one.results] if one is not None else [],
        **({"accounts": [_of_account(account_id, end) for account_id, end in ends.items()]} if settings.accounts else {}),
    }


def _of_account(account_id: str, end: Summary | RequestError) -> dict[str, Any]:
    if isinstance(end, RequestError):
        return {"account_id": account_id, "run_id": None, "requests": 0, "types": [], "error": str(end)}
    types = [asdict(result) for result in end.results]
    return {"account_id": account_id, "run_id": end.run_id, "requests": end.requests, "types": types, "error": None}
