-- What a payout sends to the bank is what its transaction takes from the balance.
select
    payouts.account_id,
    payouts.payout_id,
    payouts.amount_minor as payout_minor,
    transactions.amount_minor as transaction_minor,
from {{ ref('stg_stripe__payouts') }} as payouts
inner join {{ ref('stg_stripe__balance_transactions') }} as transactions
    on transactions.account_id = payouts.account_id and transactions.balance_transaction_id = payouts.balance_transaction_id
where payouts.amount_minor <> -transactions.amount_minor
    or payouts.currency is distinct from transactions.currency
