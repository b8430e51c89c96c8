"""Says in a few words and sums what a run takes of the allowance: for the live display, the end of a sync, Dagster's page.

Nothing is measured here: that is `limits/tally`. The picture is drawn in `pictures`.
"""

from collections import Counter
from collections.abc import Mapping

from stripe_assets.limits.tally import Snapshot, Tally
from stripe_assets.sync.engine import Mirror
from stripe_assets.sync.summary import Summary


def at_work(mirror: Mirror) -> str:
    """Tell in one line what the limiter does now, and how full the queue to the database is; nothing before both exist."""
    if mirror.limiter is None or mirror.writer is None:
        return ""
    at, queue = mirror.limiter.snapshot(), mirror.writer.channel
    parts = [
        f"{at.waiting:,} waiting, {waits(at)}",
        f"{at.in_flight} of {at.most_in_flight} in flight",
        f"queue {queue.weight / 1e6:.1f} MB ({queue.weight / queue.capacity:.0%})",
        *([f"429s: {refusals(at)}"] if at.throttled else []),
        *([f"learned: {learned(at, most=1)}"] if learned(at) else []),
    ]
    return " · ".join(parts)


def line(summary: Summary) -> str:
    """Tell in one line how fast a run was, and what held it up."""
    at = summary.limiter
    allowed = f"of {at.limit:g} allowed" if at.limit is not None else "with no limit"
    parts = [
        f"{summary.requests:,} requests in {summary.seconds:.1f} s, {per_second(summary):g}/s {allowed}",
        f"waits {waits(at)}",
        f"429s: {refusals(at)}" if at.throttled else "no 429s",
        *([f"learned: {learned(at)}"] if learned(at) else []),
        *([f"at lowest: {lowest(at)}"] if lowest(at) else []),
    ]
    return "; ".join(parts)


def per_second(summary: Summary) -> float:
    """Give the requests per second of the whole run."""
    return round(summary.requests / summary.seconds, 1) if summary.seconds else 0.0


def waits(at: Snapshot) -> str:
    """Say how long requests waited for their slots: half of them less than the first time, 99 of 100 less than the second."""
    return f"{_short(at.wait_p50)} (p50), {_short(at.wait_p99)} (p99)"


def refusals(at: Snapshot) -> str:
    """Name the reasons of 429s, the most frequent first; nothing if there were none."""
    most_first = sorted(at.throttled.items(), key=lambda each: -each[1])
    return ", ".join(f"{count:,} {reason}" for reason, count in most_first)


def learned(at: Snapshot, *, most: int | None = None) -> str:
    """Say what 429s have taught about the limits, the account's first; nothing while all of them are in force as set.

    All of it, or the first `most` and how many more there are.
    """
    parts = _named(at.learned_rates, at.learned_in_flight)
    more = f" and {len(parts) - most} more" if most is not None and len(parts) > most else ""
    return ", ".join(parts[:most]) + more


def lowest(at: Snapshot) -> str:
    """Say what the lowest limits were that 429s taught during a run, the account's first; nothing without any."""
    return ", ".join(_named(at.lowest_rates, at.lowest_in_flight))


def by_endpoint(tally: Tally) -> dict[str, tuple[int, int]]:
    """Count what each endpoint took, most first: requests, and how many of them were answered with 429."""
    sent, throttled = Counter[str](), Counter[str]()
    for step in tally.steps:
        sent.update(step.sent)
        throttled.update(step.throttled)
    return {name: (count, throttled[name]) for name, count in sent.most_common()}


def _named(rates: Mapping[str, float], at_once: Mapping[str, float]) -> list[str]:
    return [
        *(f"{name} {rate:.3g}/s" for name, rate in _account_first(rates)),
        *(f"{name} {number:g} at once" for name, number in _account_first(at_once)),
    ]


def _account_first(found: Mapping[str, float]) -> list[tuple[str, float]]:
    return sorted(found.items(), key=lambda each: (each[0] != "account", each[0]))


def _short(seconds: float) -> str:
    return f"{1000 * seconds:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"
