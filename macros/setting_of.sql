{#- The value of a setting that every cohort destination has a column of its own for.

    destination: expression holding `clevertap`, `moengage` or `lytics`.
    setting:     what follows the destination in the column's name, such as `on_unknown`.
-#}
{% macro setting_of(destination, setting) -%}
    case {{ destination }}
        when 'clevertap' then settings.clevertap_{{ setting }}
        when 'moengage' then settings.moengage_{{ setting }}
        when 'lytics' then settings.lytics_{{ setting }}
    end
{%- endmacro %}
