-- The running month's MRR, computed the short way: what active and past due subscriptions hold. Tiers and usage have no list price.
with

held as (
    select
        subscriptions.account_id,
        subscriptions.customer_id,
        subscriptions.currency,
        sum({{ monthly('prices.unit_amount_decimal_minor * items.quantity', 'prices.recurring_interval', 'prices.recurring_interval_count') }}) as mrr_minor,
    from {{ ref('stg_stripe__subscription_items') }} as items
    inner join {{ ref('stg_stripe__subscriptions') }} as subscriptions using (account_id, subscription_id)
    left join {{ ref('int_prices') }} as prices on prices.account_id = items.account_id and prices.price_id = (items.price ->> '$.id')
    where subscriptions.status in ('active', 'past_due')
        and subscriptions.pause_collection is null
        and not items.is_deleted
    group by all
    having bool_and(prices.billing_scheme = 'per_unit' and prices.divide_by is null and items.quantity is not null)
)

select
    held.*,
    mart.mrr_minor as mart_mrr_minor,
from held
inner join {{ ref('int_account_as_of') }} as as_of using (account_id)
left join {{ ref('mrr_monthly') }} as mart
    on mart.account_id = held.account_id
    and mart.customer_id = held.customer_id
    and mart.currency = held.currency
    and mart.month_on = date_trunc('month', as_of.as_of_at at time zone 'UTC')
where abs(held.mrr_minor - coalesce(mart.mrr_minor, 0)) > 0.001
