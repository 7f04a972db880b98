{#- Every row makes the expression true; those that do not are the offenders.

    expression: a condition over the model's columns.
-#}
{% test expression_holds(model, expression) %}

select *
from {{ model }}
where not coalesce({{ expression }}, false)

{% endtest %}
