{#- A number of seconds, milliseconds or microseconds since 1970 as a UTC timestamp: its size tells
    which (seconds below 10^11, milliseconds below 10^14).

    value: expression holding a whole number; null gives null.
-#}
{% macro epoch_timestamp(value) -%}
    case
        when {{ value }} < 100000000000 then make_timestamp({{ value }} * 1000000)
        when {{ value }} < 100000000000000 then make_timestamp({{ value }} * 1000)
        else make_timestamp({{ value }})
    end
{%- endmacro %}
