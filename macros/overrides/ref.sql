{#- References without the name of the database: a view then holds in the analysts' copy too, whose
    database has another name, and wherever that copy is attached.
-#}
{% macro ref() -%}
    {%- do return(builtins.ref(*varargs, **kwargs).include(database=false)) -%}
{%- endmacro %}
