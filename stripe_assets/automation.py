"""When things run by themselves: the nightly job and its schedule."""

import dagster as dg

NIGHTLY = dg.define_asset_job(
    "stripe_nightly",
    selection=dg.AssetSelection.all(),
    description="Mirror everything that is new or changed in the Stripe account, then build the models on it.",
)

AT_TWO = dg.ScheduleDefinition(
    job=NIGHTLY,
    cron_schedule="0 2 * * *",
    name="stripe_nightly_at_two",
    description="Every night at 02:00 UTC. Switch it on under Automation.",
)
