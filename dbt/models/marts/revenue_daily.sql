with

balance_transactions as (
    select * from {{ ref('int_balance_transactions_classified') }}
    where bucket <> 'none'
),

currencies as (
    select * from {{ ref('currencies') }}
),

-- Money that comes in is positive in Stripe's books; refunds, disputes and fees are turned round here.
daily as (
    select
        account_id,
        created_on as revenue_on,
        currency,
        coalesce(sum(amount_minor) filter (where bucket = 'gross'), 0) as gross_minor,
        -coalesce(sum(amount_minor) filter (where bucket = 'refunds'), 0) as refunds_minor,
        -coalesce(sum(amount_minor) filter (where bucket = 'disputes'), 0) as disputes_minor,
        sum(fee_minor) - coalesce(sum(amount_minor) filter (where bucket = 'fees'), 0) as fees_minor,
        coalesce(sum(amount_minor) filter (where bucket in ('other', 'unknown')), 0) as other_adjustments_minor,
        count(*) as transaction_count,
    from balance_transactions
    group by all
),

netted as (
    select
        *,
        gross_minor - refunds_minor - disputes_minor - fees_minor as net_minor,
    from daily
),

final as (
    select
        netted.account_id,
        netted.revenue_on,
        netted.currency,
{%- for figure in ['gross', 'refunds', 'disputes', 'fees', 'net', 'other_adjustments'] %}
        {{ to_major('netted.' ~ figure ~ '_minor', 'currencies.minor_units') }} as {{ figure }},
{%- endfor %}
{%- for figure in ['gross', 'refunds', 'disputes', 'fees', 'net', 'other_adjustments'] %}
        cast(netted.{{ figure }}_minor as bigint) as {{ figure }}_minor,
{%- endfor %}
        netted.transaction_count,
    from netted
    left join currencies using (currency)
)

select * from final
