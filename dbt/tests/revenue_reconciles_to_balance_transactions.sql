-- Per account and currency the mart holds exactly the net of all balance transactions that are not known to be no revenue.
with

mart as (
    select account_id, currency, sum(net_minor) + sum(other_adjustments_minor) as net_minor
    from {{ ref('revenue_daily') }}
    group by all
),

books as (
    select account_id, currency, sum(net_minor) as net_minor
    from {{ ref('stg_stripe__balance_transactions') }}
    where not is_deleted
        and reporting_category not in (select reporting_category from {{ ref('reporting_categories') }} where bucket = 'none')
    group by all
),

final as (
    select
        account_id,
        currency,
        mart.net_minor as mart_net_minor,
        books.net_minor as books_net_minor,
    from mart
    full join books using (account_id, currency)
    where mart.net_minor is distinct from books.net_minor
)

select * from final
