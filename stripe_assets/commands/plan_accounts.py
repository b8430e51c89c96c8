"""Plans a sync of several accounts: a line for each, and what all of them take together. How one is planned stands in `plan_told`."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import typer
from rich.console import Console

from stripe_assets.commands.console import MOST_SHOWN, figures_table, results_console, span
from stripe_assets.commands.endings import INCOMPLETE, tell
from stripe_assets.commands.plan_told import to_json as of_one
from stripe_assets.errors import RequestError
from stripe_assets.sync.accounts import AT_ONCE, Platform
from stripe_assets.sync.engine import Mirror
from stripe_assets.sync.figures import Figure, total
from stripe_assets.sync.forecast import TypeForecast, Way
from stripe_assets.sync.plan import Plan
from stripe_assets.sync.plan import plan as make
from stripe_assets.sync.settings import Settings, known_types


@dataclass(frozen=True, slots=True)
class Planned:
    """One account's plan, or why there is none."""

    account_id: str
    plan: Plan | None = None
    error: str | None = None

    @property
    def refused(self) -> list[TypeForecast]:
        """The types that would be skipped."""
        return [one for one in self.plan.sync.types if one.way is Way.REFUSED] if self.plan is not None else []

    @property
    def missing(self) -> list[str]:
        """What would not be mirrored, and why."""
        return [self.error] if self.error is not None else [f"{one.type} would be skipped: {one.reason}" for one in self.refused]


async def plans(platform: Platform, types: Iterable[str], *, full_refresh: bool, since: int | None) -> list[Planned]:
    """Plan a sync of every account, a few side by side. Raises `ConfigurationError`, `Unauthorized` and `WarehouseError`."""
    names = known_types(platform.catalog, types)
    found: list[Planned] = []

    async def work(mirror: Mirror) -> Plan:
        return await make(mirror, names, full_refresh=full_refresh, since=since)

    async def ended(_mirror: Mirror | None, account_id: str, result: Plan | RequestError) -> None:
        found.append(Planned(account_id, error=str(result)) if isinstance(result, RequestError) else Planned(result.account_id, result))

    await platform.each(work, ended)
    return found


def shortest(made: Sequence[Plan]) -> float:
    """Give the shortest possible time in seconds: each account has limits of its own, and a few are read side by side."""
    seconds = [one.sync.seconds for one in made]
    return max([sum(seconds) / AT_ONCE, *seconds])


def tell_plans(found: Sequence[Planned], settings: Settings, *, as_json: bool) -> None:
    """Print the plans of several accounts; exits with 3 if a type would be refused, or an account could not be planned."""
    if as_json:
        typer.echo(json.dumps(to_json(found, settings)))
    else:
        show(found, results_console())
    for one in found:
        for line in one.missing:
            tell(f"stripe-assets: {one.account_id}: {line}")
    if any(one.missing for one in found):
        raise typer.Exit(INCOMPLETE)


def show(found: Sequence[Planned], out: Console) -> None:
    """Print a row for each account, the sum, and what it means."""
    table = figures_table("account", "", "requests", "seconds", "of its reads", words=2)
    shown = found if len(found) <= MOST_SHOWN else [one for one in found if one.missing]
    for one in shown:
        if one.plan is None:
            table.add_row(one.account_id, "failed", "", "", "")
            continue
        refused = f"{len(one.refused)} refused" if one.refused else ""
        table.add_row(one.account_id, refused, str(one.plan.sync.requests), f"{one.plan.sync.seconds:,.1f}", f"{one.plan.share.value:.1%}")
    made = [one.plan for one in found if one.plan is not None]
    table.add_section()
    table.add_row(f"{len(found):,} accounts", "", str(_requests(made)), f"{shortest(made):,.1f}", "", style="bold")
    out.print(table)
    asked = sum(one.asked for one in made)
    out.print(
        f"\nEach account has limits and an allotment of reads of its own, {AT_ONCE} are read side by side: {span(shortest(made))} at the "
        f"shortest. ~ is estimated, ≥ the least. To find out took {asked:,} requests; "
        "`--json` has the types of each.",
        markup=False,
        soft_wrap=True,
    )


def to_json(found: Sequence[Planned], settings: Settings) -> dict[str, Any]:
    """Give the plans as the object that `--json` prints: each account's as that of one account."""
    made = [one.plan for one in found if one.plan is not None]
    requests = _requests(made)
    return {
        "duckdb": str(settings.duckdb),
        "complete": not any(one.missing for one in found),
        "requests": {"value": requests.whole, "sure": requests.sure},
        "seconds": round(shortest(made), 1),
        "asked": sum(one.asked for one in made),
        "accounts": [
            {"account_id": one.account_id, "complete": not one.missing, "error": one.error}
            | (of_one(one.plan, settings) if one.plan is not None else {})
            for one in found
        ],
    }


def _requests(made: Sequence[Plan]) -> Figure:
    return total([one.sync.requests for one in made])
