with

spells as (
    select * from {{ ref('int_mrr_spells') }}
),

as_of as (
    select * from {{ ref('int_account_as_of') }}
),

first_months as (
    select
        account_id,
        date_trunc('month', min(starts_at) at time zone 'UTC') as first_month,
    from spells
    where mrr_minor > 0
    group by account_id
),

months as (
    select
        account_id,
        as_of_at,
        unnest(generate_series(first_month, as_of_at at time zone 'UTC', interval 1 month)) as month_start,
    from first_months
    inner join as_of using (account_id)
),

-- A month is measured in its last second, the running one at the newest moment that is known.
instants as (
    select
        account_id,
        cast(month_start as date) as month_on,
        least((month_start + interval 1 month - interval 1 second) at time zone 'UTC', as_of_at) as measured_at,
        as_of_at >= (month_start + interval 1 month - interval 1 second) at time zone 'UTC' as is_complete_month,
    from months
),

-- Of all spells of an item that cover the moment the latest one is true; what a credit starts with, its debit continues.
at_instants as (
    select
        instants.*,
        spells.* exclude (account_id),
    from instants
    inner join spells
        on spells.account_id = instants.account_id
        and spells.starts_at <= instants.measured_at
        and (instants.measured_at < spells.ends_at or spells.ends_at is null)
    qualify row_number() over (
        partition by instants.account_id, instants.month_on, spells.subscription_item_id
        order by spells.starts_at desc, spells.is_credit, spells.invoiced_at desc, spells.last_line_id desc
    ) = 1
),

final as (
    select
        account_id,
        customer_id,
        currency,
        month_on,
        measured_at,
        is_complete_month,
        cast(sum(mrr_minor) as decimal(28, 6)) as mrr_minor,
    from at_instants
    group by all
    having sum(mrr_minor) > 0
)

select * from final
