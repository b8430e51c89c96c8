"""Tries the dead letters again, and tells how many are mended and why others are not."""

import asyncio
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import typer
import uvloop
from rich.console import Console

from stripe_assets import allowance
from stripe_assets.catalog.types import Catalog
from stripe_assets.commands import report
from stripe_assets.commands.console import errors_console, figures_table, log_to, results_console
from stripe_assets.commands.endings import INCOMPLETE, tell
from stripe_assets.commands.live import watched
from stripe_assets.commands.mirrored import reading
from stripe_assets.sync.engine import Mirror, Summary
from stripe_assets.sync.settings import Settings, known_types
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


def redrive(settings: Settings, types: Iterable[str], *, as_json: bool, debug: bool) -> None:
    """Try the dead letters again, those of the named types or all, and tell how that ended; exits with 3 if some are left."""
    screen = errors_console()
    log_to(screen, debug=debug)
    mirror = Mirror(settings)
    names = known_types(mirror.catalog, types)
    before, known = look(settings, mirror.catalog, names)
    again = {one.type for one in before if one.again}
    summary = run(mirror, again, known, screen) if again else None
    after = look(settings, mirror.catalog, names)[0] if again else before
    found = outcomes(before, after, summary)
    if as_json:
        typer.echo(json.dumps(to_json(found, summary, settings)))
    else:
        show(found, summary, settings, results_console())
    missing = [result for result in summary.results if result.state != "complete"] if summary is not None else []
    named = {one.type for one in found if one.left}
    for one in found:
        if one.left:
            tell(f"stripe-assets: {one.type} has {one.left:,} dead letter{'s' if one.left > 1 else ''} left: {one.reason}")
    for result in missing:
        if result.type not in named:
            tell(f"stripe-assets: {result.type} is {result.state}: {result.reason}")
    if named or missing:
        raise typer.Exit(INCOMPLETE)


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


def outcomes(before: Sequence[Standing], after: Sequence[Standing], summary: Summary | None) -> list[Outcome]:
    """Compare the letters from before with those that are left after the run of `summary`, if there was one."""
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
            reason=_reason(why[key], summary) if key in why else None,
            request_id=why[key].request_id if key in why else None,
        )
        for key in sorted({*had, *left})
    ]


def _reason(one: Standing, summary: Summary | None) -> str:
    """Say why letters are left; where asking again cannot help, what does."""
    if not one.again:
        return f"{one.reason}; `stripe-assets sync --full-refresh {one.type}` reads all of them again"
    if summary is not None and one.account_id != summary.account_id:
        return f"they belong to the account {one.account_id}, and the key is for {summary.account_id}"
    results = summary.results if summary is not None else ()
    now = next((result.reason for result in results if result.type == one.type and result.reason is not None), one.reason)
    return f"{now} (tried {one.attempts} times)" if now == one.reason else now


def show(found: Sequence[Outcome], summary: Summary | None, settings: Settings, out: Console) -> None:
    """Print a row for each type that had dead letters, or that there were none."""
    if not found:
        out.print(f"{settings.duckdb}: there are no dead letters, nothing to do", markup=False, soft_wrap=True)
        return
    table = figures_table("type", "mended", "still failing")
    for one in found:
        table.add_row(one.type, f"{one.mended:,}", f"{one.left:,}")
    table.add_section()
    table.add_row("total", f"{sum(one.mended for one in found):,}", f"{sum(one.left for one in found):,}", style="bold")
    out.print(table)
    if summary is not None:
        out.print(f"\n{settings.duckdb}: {summary.rows:,} rows written by {allowance.line(summary)}", markup=False, soft_wrap=True)


def to_json(found: Sequence[Outcome], summary: Summary | None, settings: Settings) -> dict[str, Any]:
    """Give the outcome as the object that `--json` prints."""
    return {
        "duckdb": str(settings.duckdb),
        "mended": sum(one.mended for one in found),
        "left": sum(one.left for one in found),
        "run_id": summary.run_id if summary is not None else None,
        "requests": summary.requests if summary is not None else 0,
        "letters": [asdict(one) for one in found],
        "types": [asdict(result) for result in summary.results] if summary is not None else [],
    }
