{#- A JSON value as a cleaned identifier: text is cleaned; an integer, and a float that is a whole number
    below 2^53, is its decimal text; any other float, a boolean, a list, an object and null are missing.
    ID-3 in docs/identity.md.

    value: expression holding JSON.
-#}
{% macro clean_json_scalar(value) -%}
    case
        when json_type({{ value }}) = 'VARCHAR'
            then {{ clean_text(value ~ " ->> '$'") }}
        when regexp_full_match(cast({{ value }} as varchar), '-?[0-9]+')
            then cast({{ value }} as varchar)
        when
            json_type({{ value }}) = 'DOUBLE'
            and abs(cast({{ value }} as double)) < 9007199254740992
            and cast({{ value }} as double) = trunc(cast({{ value }} as double))
            then cast(cast(cast({{ value }} as double) as bigint) as varchar)
    end
{%- endmacro %}
