{#
    Turns an amount in a currency's minor unit into the currency itself, exactly: 1234 is 12.34 dollars, 1234 yen, 1.234 dinars.
    `minor_units` is that column of the seed `currencies`; null where the seed does not know the currency.
#}
{% macro to_major(amount, minor_units) -%}
    (cast({{ amount }} as decimal(28, 6)) * case {{ minor_units }} when 0 then 1.000 when 2 then 0.010 when 3 then 0.001 end)
{%- endmacro %}
