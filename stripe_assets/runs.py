"""The table `stripe_sync.runs` as an asset: what each run took of the account's allowance, with a picture, told once a run.

The types' own assets say of the run one line only, with a link to here. Nothing materialises this asset but a run of those:
its page shows the last run, and plots the figures of all.
"""

from base64 import b64encode
from collections.abc import Callable

import dagster as dg

from stripe_assets import allowance, pictures
from stripe_assets.limits.tally import Tally
from stripe_assets.sync.summary import Summary

KEY = dg.AssetKey(["stripe_sync", "runs"])
SPEC = dg.AssetSpec(
    key=KEY,
    group_name="sync",
    description="One row for every sync: how it ended, and what it took of the rate limit. Each that came to its end is shown here.",
    kinds={"duckdb"},
    metadata={"dagster/table_name": "stripe_sync.runs"},
)
WORTH_A_PICTURE = 50
"""Requests below which a picture shows nothing: catching up with an idle account takes five, and may run every minute."""


def materialization(summary: Summary, *, say: Callable[[str], None], drawn: bool = True) -> dg.AssetMaterialization:
    """Tell how a run went, with its picture if it is to be `drawn`; if that cannot be, it is said, and all else is told."""
    at, compared = summary.limiter, summary.comparison
    figures = {
        "pace": picture(summary, say=say) if drawn else None,
        "requests": summary.requests,
        "rows written": summary.rows,
        "seconds": summary.seconds,
        "requests forecast": compared.forecast if compared is not None else None,
        "shortest seconds forecast": compared.shortest if compared is not None else None,
        "forecast and outcome": compared.sentence if compared is not None else None,
        "requests per second": allowance.per_second(summary),
        "limit": at.limit,
        "rate at the end": round(at.rate, 1) if at.rate is not None else None,
        "wait p50 (seconds)": round(at.wait_p50, 4),
        "wait p99 (seconds)": round(at.wait_p99, 4),
        "allowed at once": at.most_in_flight,
        "429s": sum(at.throttled.values()),
        "429s by reason": allowance.refusals(at) or None,
        "learned from 429s": allowance.learned(at) or None,
        "learned, at lowest": allowance.lowest(at) or None,
        "run id": summary.run_id,
        "account": summary.account_id,
        "endpoints": endpoints(summary.tally),
    }
    return dg.AssetMaterialization(KEY, metadata={name: value for name, value in figures.items() if value is not None})


def one_line(summary: Summary) -> dict[str, dg.MetadataValue]:
    """Give what a type's asset says of the run that read it."""
    return {"run": dg.MetadataValue.text(allowance.line(summary)), "more of the run": dg.MetadataValue.asset(KEY)}


def picture(summary: Summary, *, say: Callable[[str], None]) -> dg.MarkdownMetadataValue | None:
    """Draw the run's pace for the page; None if it was short, or, with a word of it, if that fails: the rows are stored all the same."""
    if summary.requests < WORTH_A_PICTURE:
        return None
    try:
        png = pictures.draw(summary.tally, summary.limiter)
    except Exception as error:
        say(f"the picture of the run's pace could not be drawn ({type(error).__name__}: {error}); nothing else is missing")
        return None
    return dg.MetadataValue.md(f"![requests per second, and by endpoint](data:image/png;base64,{b64encode(png).decode()})")


def endpoints(tally: Tally) -> dg.TableMetadataValue:
    """List what each endpoint took, most first."""
    taken = allowance.by_endpoint(tally).items()
    return dg.MetadataValue.table(
        [dg.TableRecord({"endpoint": name, "requests": sent, "429s": refused}) for name, (sent, refused) in taken]
    )
