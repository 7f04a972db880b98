{#- Whether an identifier of any type is a placeholder: `is_junk` where the type stands in a column.

    id_type: expression holding `amplitude_id`, `user_id` or `device_id`.
    value:   expression holding cleaned text.
-#}
{% macro is_junk_identifier(id_type, value) -%}
    case {{ id_type }}
        when 'amplitude_id' then {{ is_junk('amplitude_id', value) }}
        when 'user_id' then {{ is_junk('user_id', value) }}
        when 'device_id' then {{ is_junk('device_id', value) }}
    end
{%- endmacro %}
