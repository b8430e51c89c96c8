{# What the column names exists in the same account; null names nothing. #}
{% test belongs_to(model, column, to, field) %}
select child.account_id, child.{{ column }}
from {{ model }} as child
anti join {{ to }} as parent on parent.account_id = child.account_id and parent.{{ field }} = child.{{ column }}
where child.{{ column }} is not null
{% endtest %}
