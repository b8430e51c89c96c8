with

customer_mrr as (
    select * from {{ ref('int_customer_mrr') }}
),

currencies as (
    select * from {{ ref('currencies') }}
),

as_of as (
    select
        account_id,
        as_of_at,
        date_trunc('month', as_of_at at time zone 'UTC') as last_month,
    from {{ ref('int_account_as_of') }}
),

-- Each month's MRR next to that of the month before: a customer who has left has one more row, with nothing.
steps as (
    select account_id, customer_id, currency, month_on, mrr_minor, 0 as previous_minor from customer_mrr
    union all
    select account_id, customer_id, currency, cast(month_on + interval 1 month as date), 0, mrr_minor from customer_mrr
),

joined as (
    select
        account_id,
        customer_id,
        currency,
        month_on,
        cast(sum(mrr_minor) as decimal(28, 6)) as mrr_minor,
        cast(sum(previous_minor) as decimal(28, 6)) as previous_minor,
    from steps
    group by all
),

firsts as (
    select account_id, customer_id, currency, min(month_on) as first_month_on from customer_mrr group by all
),

movements as (
    select
        joined.*,
        least((joined.month_on + interval 1 month - interval 1 second) at time zone 'UTC', as_of.as_of_at) as measured_at,
        as_of.as_of_at >= (joined.month_on + interval 1 month - interval 1 second) at time zone 'UTC' as is_complete_month,
        case when previous_minor = 0 and month_on = first_month_on then mrr_minor else 0 end as new_minor,
        case when previous_minor = 0 and month_on > first_month_on then mrr_minor else 0 end as reactivated_minor,
        case when previous_minor > 0 and mrr_minor > previous_minor then mrr_minor - previous_minor else 0 end as expansion_minor,
        case when mrr_minor > 0 and mrr_minor < previous_minor then previous_minor - mrr_minor else 0 end as contraction_minor,
        case when mrr_minor = 0 then previous_minor else 0 end as churned_minor,
    from joined
    inner join firsts using (account_id, customer_id, currency)
    inner join as_of using (account_id)
    where joined.month_on <= as_of.last_month
),

final as (
    select
        movements.account_id,
        movements.customer_id,
        movements.month_on,
        movements.currency,
        {{ to_major('mrr_minor', 'currencies.minor_units') }} as mrr,
        {{ to_major('previous_minor', 'currencies.minor_units') }} as previous_mrr,
        {{ to_major('new_minor', 'currencies.minor_units') }} as new_mrr,
        {{ to_major('reactivated_minor', 'currencies.minor_units') }} as reactivated_mrr,
        {{ to_major('expansion_minor', 'currencies.minor_units') }} as expansion_mrr,
        {{ to_major('contraction_minor', 'currencies.minor_units') }} as contraction_mrr,
        {{ to_major('churned_minor', 'currencies.minor_units') }} as churned_mrr,
        movements.mrr_minor,
        movements.measured_at,
        movements.is_complete_month,
    from movements
    left join currencies using (currency)
)

select * from final
