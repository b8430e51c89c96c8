"""Accounts as Dagster's partitions, where STRIPE_ACCOUNTS names several: one key a connected account, and one for the key's own.

One run takes any number of them. How several accounts are synced belongs in `sync/accounts`.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

import dagster as dg

from stripe_assets.errors import MirrorError
from stripe_assets.resources import StripeResource
from stripe_assets.sync.accounts import Outcome, Platform
from stripe_assets.sync.settings import ALL_ACCOUNTS
from stripe_assets.sync.summary import Summary
from stripe_assets.warehouse.ledger import TypeResult
from stripe_assets.warehouse.misfits import Misfit

OWN = "own"
"""The partition of the key's own account, whose id is not known before it is asked for."""
ALL = dg.DynamicPartitionsDefinition(name="stripe_accounts")
LOOK_EVERY = 3600
"""Seconds between two looks for accounts that have been connected since."""
WORST_FIRST = ("failed", "skipped", "complete")
RANGE_START, RANGE_END = "dagster/asset_partition_range_start", "dagster/asset_partition_range_end"


def definition(accounts: Sequence[str]) -> dg.PartitionsDefinition[str] | None:
    """Give the partitions for what STRIPE_ACCOUNTS holds: none for one account, those that are named, or all that there are."""
    if not accounts:
        return None
    return ALL if ALL_ACCOUNTS in accounts else dg.StaticPartitionsDefinition([OWN, *accounts])


def accounts_of(keys: Sequence[str]) -> list[str | None]:
    """Give the accounts that partitions stand for; None is the key's own."""
    return [None if key == OWN else key for key in keys]


def whole_range(keys: Sequence[str]) -> dict[str, str]:
    """Give the tags of a run that takes all of these partitions at once."""
    return {RANGE_START: keys[0], RANGE_END: keys[-1]}


def looking_for_accounts(stripe: StripeResource) -> dg.SensorDefinition:
    """Give the sensor that adds a partition for every account that is connected."""

    @dg.sensor(
        name="stripe_accounts",
        minimum_interval_seconds=LOOK_EVERY,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Adds a partition for every connected account, once an hour. It starts no run.",
    )
    def look(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
        known = set(context.instance.get_dynamic_partitions(ALL.name or ""))
        try:
            found = [OWN, *asyncio.run(Platform(stripe.settings()).connected())]
        except MirrorError as error:
            return dg.SkipReason(f"the connected accounts could not be listed: {error}")
        new = [key for key in found if key not in known]
        if not new:
            return dg.SkipReason(f"all {len(found):,} accounts are known")
        return dg.SensorResult(dynamic_partitions_requests=[ALL.build_add_request(new)])

    return look


class Merged:
    """The results of several accounts as one for each type: the worst state with its reason, and the sums."""

    def __init__(self, *, on_summary: Callable[[Summary], None]) -> None:
        """Start with no account; `on_summary` is told of each that has come to its end."""
        self.results: dict[str, TypeResult] = {}
        self.errors: list[str] = []
        self._on_summary = on_summary

    def add(self, outcome: Outcome, summary: Summary | None) -> None:
        """Count one account in."""
        if outcome.error is not None:
            self.errors.append(f"{outcome.account_id}: {outcome.error}")
        if summary is None:
            return
        self._on_summary(summary)
        for result in summary.results:
            told = replace(result, reason=f"{summary.account_id}: {result.reason}" if result.reason else None)
            known = self.results.get(result.type)
            self.results[result.type] = told if known is None else _both(known, told)


def _both(one: TypeResult, other: TypeResult) -> TypeResult:
    worse, better = sorted((one, other), key=lambda result: WORST_FIRST.index(result.state))
    return replace(
        worse,
        rows=one.rows + other.rows,
        requests=one.requests + other.requests,
        seconds=round(one.seconds + other.seconds, 3),
        misfits=_together((*worse.misfits, *better.misfits)),
    )


def _together(misfits: Iterable[Misfit]) -> tuple[Misfit, ...]:
    found: dict[tuple[str, str], Misfit] = {}
    for one in misfits:
        known = found.get((one.column, one.change))
        found[one.column, one.change] = one if known is None else known + one
    return tuple(one for _, one in sorted(found.items()))
