"""Tells one account's plan: requests by type, the shortest time, the share of Stripe's allotment.

What is forecast and how belongs in `sync.plan`; several accounts are told of in `plan_accounts`.
"""

import re
from collections.abc import Collection, Iterable
from typing import Any

from rich.console import Console

from stripe_assets.catalog.allocation import DAYS, LEAST_READS, READS_PER_TRANSACTION
from stripe_assets.catalog.types import load
from stripe_assets.commands.because import because
from stripe_assets.commands.console import figures_table, span
from stripe_assets.sync.figures import Figure, Sure
from stripe_assets.sync.forecast import TypeForecast, Way
from stripe_assets.sync.plan import Plan
from stripe_assets.sync.settings import Settings

PERMISSION = re.compile(r"\brak_\w+")
WORDS = {Sure.COUNTED: "", Sure.ESTIMATED: "about ", Sure.AT_LEAST: "at least "}
MEANING = {
    Sure.COUNTED: "counted: all of it was seen, in the mirror or on a page",
    Sure.ESTIMATED: "estimated (~): from the pages and events that were looked at",
    Sure.AT_LEAST: "at least (≥): there may be more, and nothing tells how much",
}


def show(made: Plan, out: Console, *, asked: Collection[str] = ()) -> None:
    """Print the table of types, the totals, and what they mean for the limit and the allotment.

    Why types are in it that were not among those `asked` for is said as well.
    """
    table = figures_table("type", "how", "objects", "requests", "seconds", "", words=2)
    for one in made.sync.types:
        objects = str(one.rows) if one.rows is not None else "unknown"
        table.add_row(one.type, how(one), objects, str(one.requests), _seconds(one.seconds), one.requests.sure)
    table.add_section()
    own = made.sync.requests.value - sum(one.requests.value for one in made.sync.types)
    table.add_row("what every sync asks", "", "", f"{own:,.0f}", "", "")
    table.add_row("total", "", "", str(made.sync.requests), _seconds(made.sync.seconds), made.sync.requests.sure, style="bold")
    out.print(table)
    out.print("")
    for line in (*because(load(), asked, [one.type for one in made.sync.types]), *sentences(made)):
        out.print(line, markup=False, soft_wrap=True)


def how(one: TypeForecast) -> str:
    """Say how a type is gone about; of one that is refused, which permission it needs."""
    needed = permission(one.reason) if one.way is Way.REFUSED else None
    return f"refused: needs {needed}" if needed else one.way


def permission(reason: str | None) -> str | None:
    """Find the permission that Stripe names in a refusal."""
    found = PERMISSION.search(reason or "")
    return found[0] if found else None


def sentences(made: Plan) -> Iterable[str]:
    """Say what the numbers mean."""
    rate = f"{made.limits.account:g} requests a second, {made.limits.endpoint:g} an endpoint"
    least = "at least " if made.sync.requests.sure is Sure.AT_LEAST else ""
    yield f"The shortest possible time is {least}{span(made.sync.seconds)}, at {rate}."
    allotted, sold = made.allotted, made.transactions
    why = f"{READS_PER_TRANSACTION} for each of {_words(sold)} transactions" if allotted.value > LEAST_READS else "what every account has"
    share = f"{WORDS[made.share.sure]}{made.share.value:.1%}"
    yield f"Stripe allots {_words(allotted)} reads in {DAYS} days ({why}): this sync takes {share} of them."
    if made.share.value > 1:
        yield (
            "That is more than an account is to read, its other programs included: name fewer types, leave out what is old "
            "with `--since`, or ask Stripe for more."
        )
    if made.blind:
        yield "The key may not read events: without them most types are read whole each time."
    used = sorted({one.requests.sure for one in made.sync.types}, key=list(Sure).index)
    yield "; ".join(MEANING[sure] for sure in used) + f". To find out took {made.asked:,} requests."


def to_json(made: Plan, settings: Settings) -> dict[str, Any]:
    """Give the plan as the object that `--json` prints; each number says how sure it is."""
    return {
        "account_id": made.account_id,
        "duckdb": str(settings.duckdb),
        "complete": all(one.way is not Way.REFUSED for one in made.sync.types),
        "requests": _figure(made.sync.requests),
        "seconds": round(made.sync.seconds, 1),
        "limit": {"account": made.limits.account, "endpoint": made.limits.endpoint},
        "allotment": {
            "days": DAYS,
            "reads": _figure(made.allotted),
            "transactions": _figure(made.transactions),
            "share": {"value": round(made.share.value, 4), "sure": made.share.sure},
        },
        "asked": made.asked,
        "reads_events": not made.blind,
        "types": [
            {
                "type": one.type,
                "how": one.way,
                "objects": _figure(one.rows) if one.rows is not None else None,
                "requests": _figure(one.requests),
                "seconds": round(one.seconds, 1),
                "permission": permission(one.reason),
                "reason": one.reason,
            }
            for one in made.sync.types
        ],
    }


def _words(figure: Figure) -> str:
    return f"{WORDS[figure.sure]}{figure.whole:,}"


def _seconds(seconds: float) -> str:
    return f"{seconds:,.1f}"


def _figure(figure: Figure) -> dict[str, Any]:
    return {"value": figure.whole, "sure": figure.sure}
