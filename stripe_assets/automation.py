"""When things run by themselves: the nightly job and its schedule."""

import dagster as dg

from stripe_assets import partitions, proofs

NIGHTLY = dg.define_asset_job(
    "stripe_nightly",
    selection=dg.AssetSelection.all() - proofs.selection(),
    description="Mirror everything that is new or changed in the Stripe account, then build the models on it.",
)
PROOF = dg.define_asset_job(
    "stripe_proof",
    selection=proofs.selection(),
    description="Hold the mirror against the Stripe account: read some of each type again, and see whether the money adds up.",
)
ON_SUNDAYS = dg.ScheduleDefinition(
    job=PROOF,
    cron_schedule="0 5 * * 0",
    name="stripe_proof_on_sundays",
    description="Every Sunday at 05:00 UTC, after the nightly sync. Switch it on under Automation.",
)


def at_two(accounts: dg.PartitionsDefinition[str] | None) -> dg.ScheduleDefinition:
    """Give the schedule of the nightly job, in one run over all `accounts` where there are several."""

    @dg.schedule(
        job=NIGHTLY,
        cron_schedule="0 2 * * *",
        name="stripe_nightly_at_two",
        description="Every night at 02:00 UTC. Switch it on under Automation.",
    )
    def nightly(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        if accounts is None:
            return dg.RunRequest()
        keys = accounts.get_partition_keys(dynamic_partitions_store=context.instance)
        if not keys:
            return dg.SkipReason("no account is known yet: switch on the sensor `stripe_accounts`")
        return dg.RunRequest(tags=partitions.whole_range(keys))

    return nightly
