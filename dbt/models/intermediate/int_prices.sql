with

listed as (
    select
        account_id,
        price_id,
        unit_amount_decimal_minor,
        billing_scheme,
        recurring,
        transform_quantity,
        1 as preference,
    from {{ ref('stg_stripe__prices') }}
),

-- Prices made inline are in no list: the subscription's item holds them.
inline as (
    select
        account_id,
        price ->> '$.id' as price_id,
        cast(price ->> '$.unit_amount_decimal' as decimal(28, 12)) as unit_amount_decimal_minor,
        price ->> '$.billing_scheme' as billing_scheme,
        price -> '$.recurring' as recurring,
        price -> '$.transform_quantity' as transform_quantity,
        2 as preference,
    from {{ ref('stg_stripe__subscription_items') }}
),

either as (
    select * from listed
    union all
    select * from inline
    where price_id is not null
),

final as (
    select
        account_id,
        price_id,
        unit_amount_decimal_minor,
        billing_scheme,
        recurring ->> '$.interval' as recurring_interval,
        cast(recurring ->> '$.interval_count' as integer) as recurring_interval_count,
        cast(transform_quantity ->> '$.divide_by' as integer) as divide_by,
        transform_quantity ->> '$.round' as divided_rounding,
    from either
    qualify row_number() over (partition by account_id, price_id order by preference) = 1
)

select * from final
