-- mrr = previous + new + reactivated + expansion - contraction - churned; the previous is that of the month before; one kind of movement a row.
with

months as (
    select
        *,
        lag(mrr) over customer as lagged_mrr,
        lag(month_on) over customer as lagged_month_on,
    from {{ ref('mrr_monthly') }}
    window customer as (partition by account_id, customer_id, currency order by month_on)
)

select *
from months
where mrr <> previous_mrr + new_mrr + reactivated_mrr + expansion_mrr - contraction_mrr - churned_mrr
    or previous_mrr <> case when lagged_month_on = month_on - interval 1 month then lagged_mrr else 0 end
    or least(mrr, previous_mrr, new_mrr, reactivated_mrr, expansion_mrr, contraction_mrr, churned_mrr) < 0
    or (
        (new_mrr > 0)::integer + (reactivated_mrr > 0)::integer + (expansion_mrr > 0)::integer
        + (contraction_mrr > 0)::integer + (churned_mrr > 0)::integer
    ) > 1
