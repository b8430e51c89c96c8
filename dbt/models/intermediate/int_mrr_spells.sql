with

lines as (
    select * from {{ ref('int_subscription_item_lines') }}
),

prices as (
    select * from {{ ref('int_prices') }}
),

as_of as (
    select * from {{ ref('int_account_as_of') }}
),

subscriptions as (
    select * from {{ ref('stg_stripe__subscriptions') }}
),

items as (
    select * from {{ ref('stg_stripe__subscription_items') }}
    where not is_deleted
),

-- History, up to but without now: what was billed, until the subscription ended.
billed as (
    select
        lines.account_id,
        lines.customer_id,
        lines.subscription_item_id,
        lines.currency,
        lines.starts_at,
        least(lines.ends_at, coalesce(subscriptions.ended_at, lines.ends_at), as_of.as_of_at) as ends_at,
        lines.mrr_minor,
        lines.is_credit,
        lines.invoiced_at,
        lines.last_line_id,
        'line' as evidence,
    from lines
    inner join subscriptions using (account_id, subscription_id)
    inner join as_of using (account_id)
),

last_lines as (
    select
        account_id,
        subscription_item_id,
        max(ends_at) as last_ends_at,
        max_by(mrr_minor, starts_at) filter (where not is_credit) as last_mrr_minor,
    from lines
    group by account_id, subscription_item_id
),

in_force as (
    select * from subscriptions
    where not is_deleted
        and status in ('active', 'past_due')
        and ended_at is null
        and (pause_collection ->> '$.behavior') is distinct from 'void'
),

-- The present: what the subscription holds now, also for the time since the last bill if the next one is late.
held as (
    select
        items.account_id,
        in_force.customer_id,
        items.subscription_item_id,
        in_force.currency,
        least(as_of.as_of_at, coalesce(last_lines.last_ends_at, items.current_period_start_at, as_of.as_of_at)) as starts_at,
        cast(null as timestamptz) as ends_at,
        cast(
            case
                -- Tiers and metered usage have no worth of their own: the last bill says it.
                when prices.billing_scheme = 'tiered' or prices.unit_amount_decimal_minor is null or items.quantity is null
                    then coalesce(last_lines.last_mrr_minor, 0)
                else {{ monthly(
                    'prices.unit_amount_decimal_minor * ' ~ packages('cast(items.quantity as decimal(18, 6))', 'prices.divide_by', 'prices.divided_rounding'),
                    'prices.recurring_interval',
                    'prices.recurring_interval_count'
                ) }}
            end
            as decimal(28, 6)
        ) as mrr_minor,
        false as is_credit,
        as_of.as_of_at as invoiced_at,
        items.subscription_item_id as last_line_id,
        'item' as evidence,
    from items
    inner join in_force using (account_id, subscription_id)
    inner join as_of using (account_id)
    left join prices on prices.account_id = items.account_id and prices.price_id = (items.price ->> '$.id')
    left join last_lines on last_lines.account_id = items.account_id and last_lines.subscription_item_id = items.subscription_item_id
),

final as (
    select * from billed
    where starts_at < ends_at
    union all
    select * from held
)

select * from final
