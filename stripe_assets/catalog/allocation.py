"""How many reads Stripe allots to an account, as https://docs.stripe.com/rate-limits says (2026-11).

Facts only; what a sync takes of it is reckoned in `sync.forecast`.
"""

from stripe_assets.catalog.conditions import parse

DAYS = 30
"""Stripe looks at the last so many days."""
READS_PER_TRANSACTION = 500
LEAST_READS = 10_000
"""What every account may read in that time, whatever it has sold."""

TRANSACTIONS = "charges"
PROCESSED = parse("paid = true")
"""Stripe speaks of transactions that an account processes, and does not say which objects it counts. A charge that went
through is the least that this can mean: with failed attempts, refunds or payouts the allocation would be larger."""

NOT_COUNTED = ("/v1/reporting/", "/v1/sigma/", "/v1/tax/")
"""Paths of the products whose reads are not counted: reporting, data, tax."""
