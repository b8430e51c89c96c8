{# The columns together name one row, and none of them is ever null. #}
{% test is_key(model, columns) %}
select {{ columns | join(', ') }}, count(*) as row_count
from {{ model }}
group by all
having count(*) > 1 {% for column in columns %} or {{ column }} is null {% endfor %}
{% endtest %}
