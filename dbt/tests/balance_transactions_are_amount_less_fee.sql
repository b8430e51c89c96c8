-- Stripe's own identity, on which net = gross - refunds - disputes - fees rests.
select account_id, balance_transaction_id, amount_minor, fee_minor, net_minor
from {{ ref('stg_stripe__balance_transactions') }}
where net_minor <> amount_minor - fee_minor
