{#- No two rows share their values of all these columns; the offenders come with their number.

    columns: names of the columns that are one row's key together.
-#}
{% test unique_combination(model, columns) %}

select
    {{ columns | join(', ') }},
    count(*) as rows_count
from {{ model }}
group by {{ columns | join(', ') }}
having count(*) > 1

{% endtest %}
