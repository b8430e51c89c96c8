with

balance_transactions as (
    select * from {{ ref('stg_stripe__balance_transactions') }}
    where not is_deleted
),

reporting_categories as (
    select * from {{ ref('reporting_categories') }}
),

final as (
    select
        balance_transactions.account_id,
        balance_transactions.balance_transaction_id,
        cast(balance_transactions.created_at at time zone 'UTC' as date) as created_on,
        balance_transactions.currency,
        balance_transactions.reporting_category,
        coalesce(reporting_categories.bucket, 'unknown') as bucket,
        balance_transactions.amount_minor,
        balance_transactions.fee_minor,
        balance_transactions.net_minor,
    from balance_transactions
    left join reporting_categories using (reporting_category)
)

select * from final
