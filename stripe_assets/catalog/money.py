"""Which types hold the account's money, and what must add up among them: https://docs.stripe.com/reports/balance-transaction-types.

Facts only; how the mirror is held against them is written in `warehouse.sums`, the balance is asked for by `sync.proof`.
"""

BALANCE = "balance"
TRANSACTIONS = "balance_transactions"
"""Every movement of money: the `net` of all, by currency, is what the account holds."""
PAYOUTS = "payouts"
PAID_OUT = "payout_balance_transactions"
"""The transactions that an automatic payout consists of: their `net` is its amount. Its own transaction may be among them."""

HELD = ("available", "pending")
"""Where the balance says what the account holds; `connect_reserved` is a part that other transactions speak for."""
MAIN = "payments"
"""The `balance_type` of transactions of that balance; issuing and prefunding have balances of their own."""
SETTLED = "completed"
"""The `reconciliation_status` of a payout whose transactions are all known."""
