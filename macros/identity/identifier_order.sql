{#- Text by which identifiers of one namespace are ordered: amplitude ids as numbers, then user ids, then
    devices, both by their bytes. Two identifiers never have the same.

    id_type: expression holding the type.
    value:   expression holding the cleaned value as text.
-#}
{% macro identifier_order(id_type, value) -%}
    case {{ id_type }}
        when 'amplitude_id' then '1' || lpad({{ value }}, 19, '0')
        when 'user_id' then '2' || {{ value }}
        else '3' || {{ value }}
    end
{%- endmacro %}
