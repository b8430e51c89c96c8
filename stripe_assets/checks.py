"""What the page says about a type beside its rows: whether its last sync is complete, and if not, why.

The results are yielded by the step that reads the type; checks that hold the mirror against Stripe are in `proofs`.
"""

from collections.abc import Iterable

import dagster as dg

from stripe_assets.warehouse.ledger import TypeResult

COMPLETE = "complete"


def specs(keys: Iterable[dg.AssetKey]) -> list[dg.AssetCheckSpec]:
    """Give every type's asset the check that its last sync ended as complete."""
    description = "The last sync stored everything that Stripe has of this type. A warning: Stripe does not let this key read it."
    return [dg.AssetCheckSpec(COMPLETE, asset=key, description=description) for key in keys]


def completeness(key: dg.AssetKey, result: TypeResult) -> dg.AssetCheckResult:
    """Turn a type's result into the check's: a skipped type warns, a failed one is an error."""
    severity = dg.AssetCheckSeverity.WARN if result.state == "skipped" else dg.AssetCheckSeverity.ERROR
    metadata = {"state": result.state, "reason": result.reason or "", "request id": result.request_id or ""}
    return dg.AssetCheckResult(
        check_name=COMPLETE,
        asset_key=key,
        passed=result.state == "complete",
        severity=severity,
        description=result.reason,
        metadata={name: value for name, value in metadata.items() if value},
    )
