{#
    Turns an amount that is due once in `count` intervals into its worth a month: a year has 12 months, 52 weeks or 365 days.
    Multiplies before it divides; null where the interval is not known.
#}
{% macro monthly(amount, interval, count) -%}
    (
        {{ amount }} * case {{ interval }} when 'day' then 365 when 'week' then 52 when 'month' then 1 when 'year' then 1 end
        / (case {{ interval }} when 'month' then 1 else 12 end * coalesce({{ count }}, 1))
    )
{%- endmacro %}
