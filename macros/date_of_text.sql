{#- The UTC time that a text names, as Lytics' `todate(x)` finds it; null for anything else.

    Read are ISO 8601 (date alone, `T` or blank, any fraction, with or without a zone), epoch seconds (10
    digits), epoch milliseconds (13 digits) and `01/31/2026`. Lytics knows more formats, and date arithmetic
    such as `now-3m`, which would not give the same value twice.
-#}
{% macro date_of_text(value) -%}
    case
        when regexp_full_match({{ value }}, '[0-9]{10}')
            then make_timestamp(try_cast({{ value }} as bigint) * 1000000)
        when regexp_full_match({{ value }}, '[0-9]{13}')
            then make_timestamp(try_cast({{ value }} as bigint) * 1000)
        when regexp_full_match({{ value }}, '[0-9]{4}-[0-9]{2}-[0-9]{2}.*(Z|[+-][0-9]{2}:?[0-9]{2})')
            then timezone('UTC', try_cast({{ value }} as timestamptz))
        when regexp_full_match({{ value }}, '[0-9]{4}-[0-9]{2}-[0-9]{2}.*')
            then try_cast({{ value }} as timestamp)
        else try_strptime({{ value }}, '%m/%d/%Y')
    end
{%- endmacro %}
