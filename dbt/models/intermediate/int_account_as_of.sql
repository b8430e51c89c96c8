with

moments as (
    select account_id, created_at from {{ ref('stg_stripe__invoices') }}
    union all
    select account_id, created_at from {{ ref('stg_stripe__balance_transactions') }}
    union all
    select account_id, created_at from {{ ref('stg_stripe__events') }}
),

final as (
    select
        account_id,
        max(created_at) as as_of_at,
    from moments
    where created_at is not null
    group by account_id
)

select * from final
