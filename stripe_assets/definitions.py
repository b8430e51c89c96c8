"""What Dagster loads: assets, models, checks, the nightly job, the weekly proof, and the resources they share."""

import dagster as dg

from stripe_assets import automation, partitions, proofs, runs
from stripe_assets.assets import mirrored
from stripe_assets.dbt_models import models, project, resource
from stripe_assets.resources import StripeResource


def build(*, stripe: StripeResource | None = None) -> dg.Definitions:
    """Put the definitions together; tests hand in a Stripe account of their own.

    One process for all steps: they share the limiter and, by turns, the database file.
    """
    found, stripe = project(), stripe or StripeResource()
    accounts = stripe.accounts_named()
    several = partitions.definition(accounts)
    return dg.Definitions(
        assets=[mirrored(accounts), runs.SPEC, models(found)],
        asset_checks=[proofs.proven(accounts)],
        jobs=[automation.NIGHTLY, automation.PROOF],
        schedules=[automation.at_two(several), automation.ON_SUNDAYS],
        sensors=[partitions.looking_for_accounts(stripe)] if several is partitions.ALL else [],
        resources={"stripe": stripe, "dbt": resource(found)},
        executor=dg.in_process_executor,
    )


@dg.definitions
def defs() -> dg.Definitions:
    """Give what `dagster dev` shows."""
    return build()
