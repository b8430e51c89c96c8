with

invoices as (
    select * from {{ ref('stg_stripe__invoices') }}
    where not is_deleted and status is distinct from 'void'
),

-- An incomplete subscription never was in force.
subscriptions as (
    select * from {{ ref('stg_stripe__subscriptions') }}
    where status not in ('incomplete', 'incomplete_expired')
),

prices as (
    select * from {{ ref('int_prices') }}
),

invoiced as (
    select
        lines.account_id,
        lines.line_item_id as line_id,
        lines.invoice_id,
        invoices.created_at as invoiced_at,
        invoices.status as invoice_status,
        lines.parent -> '$.subscription_item_details' as details,
        coalesce(lines.parent ->> '$.subscription_item_details.subscription', lines.subscription_id) as subscription_id,
        lines.pricing,
        lines.period,
        lines.amount_minor,
        lines.quantity_decimal,
        lines.quantity,
    from {{ ref('stg_stripe__invoice_lines') }} as lines
    inner join invoices on invoices.account_id = lines.account_id and invoices.invoice_id = lines.invoice_id
    where not lines.is_deleted
),

-- A change made in the middle of a period waits as an invoice item for the next invoice.
waiting as (
    select
        account_id,
        invoiceitem_id as line_id,
        null as invoice_id,
        dated_at as invoiced_at,
        null as invoice_status,
        json_merge_patch(
            parent -> '$.subscription_details',
            json_object('proration', is_proration, 'proration_details', proration_details)
        ) as details,
        parent ->> '$.subscription_details.subscription' as subscription_id,
        pricing,
        period,
        amount_minor,
        quantity_decimal,
        quantity,
    from {{ ref('stg_stripe__invoiceitems') }}
    where not is_deleted and invoice_id is null and is_proration
),

all_lines as (
    select * from invoiced
    union all
    select * from waiting
),

unfolded as (
    select
        account_id,
        line_id,
        invoice_id,
        invoiced_at,
        invoice_status,
        subscription_id,
        details ->> '$.subscription_item' as subscription_item_id,
        coalesce(cast(details ->> '$.proration' as boolean), false) as is_proration,
        amount_minor < 0 or (details ->> '$.proration_details.credited_items') is not null as is_credit,
        pricing ->> '$.price_details.price' as price_id,
        cast(pricing ->> '$.unit_amount_decimal' as decimal(28, 12)) as unit_amount_decimal_minor,
        to_timestamp(cast(period ->> '$.start' as bigint)) as starts_at,
        to_timestamp(cast(period ->> '$.end' as bigint)) as ends_at,
        amount_minor,
        cast(coalesce(quantity_decimal, quantity, 1) as decimal(18, 6)) as quantity,
    from all_lines
),

priced as (
    select
        unfolded.* exclude (unit_amount_decimal_minor),
        subscriptions.customer_id,
        subscriptions.currency,
        prices.recurring_interval,
        prices.recurring_interval_count,
        prices.billing_scheme is not distinct from 'tiered' as is_tiered,
        coalesce(unfolded.unit_amount_decimal_minor, prices.unit_amount_decimal_minor) as unit_amount_decimal_minor,
        {{ packages('unfolded.quantity', 'prices.divide_by', 'prices.divided_rounding') }} as packages,
    from unfolded
    inner join subscriptions
        on subscriptions.account_id = unfolded.account_id and subscriptions.subscription_id = unfolded.subscription_id
    left join prices on prices.account_id = unfolded.account_id and prices.price_id = unfolded.price_id
    where unfolded.subscription_item_id is not null
        and unfolded.starts_at < unfolded.ends_at
        -- What Stripe draws up for an unpaid subscription stays a draft that nobody is asked to pay.
        and not (unfolded.invoice_status is not distinct from 'draft' and subscriptions.status = 'unpaid')
),

valued as (
    select
        *,
        case
            when is_credit then 0
            -- A trial: nothing is due although the price is not nothing.
            when amount_minor = 0 and not is_proration then 0
            when not is_tiered and unit_amount_decimal_minor is not null and recurring_interval is not null
                then {{ monthly('unit_amount_decimal_minor * packages', 'recurring_interval', 'recurring_interval_count') }}
            when not is_proration and recurring_interval is not null
                then {{ monthly('amount_minor', 'recurring_interval', 'recurring_interval_count') }}
            else amount_minor * (365 * 86400 / 12) / epoch(ends_at - starts_at)
        end as monthly_minor,
    from priced
),

-- Graduated tiers come as several lines of one item and period.
final as (
    select
        account_id,
        customer_id,
        subscription_id,
        subscription_item_id,
        currency,
        invoice_id,
        invoiced_at,
        starts_at,
        ends_at,
        is_proration,
        is_credit,
        price_id,
        max(line_id) as last_line_id,
        cast(case when bool_or(is_tiered) then sum(monthly_minor) else max_by(monthly_minor, line_id) end as decimal(28, 6)) as mrr_minor,
    from valued
    group by all
)

select * from final
