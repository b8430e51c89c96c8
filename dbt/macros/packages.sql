{# How many packages of `divide_by` units a quantity makes; the quantity itself where units are sold one by one. #}
{% macro packages(quantity, divide_by, rounding) -%}
    case
        when {{ divide_by }} is null then {{ quantity }}
        when {{ rounding }} = 'up' then cast(ceil({{ quantity }} / {{ divide_by }}) as decimal(18, 6))
        else cast(floor({{ quantity }} / {{ divide_by }}) as decimal(18, 6))
    end
{%- endmacro %}
