{#- One number that orders rows by time and, where the times are equal, by a second number: what
    `arg_max` compares at the price of an integer.

    at:  expression holding a UTC timestamp.
    tie: expression holding a UBIGINT.
-#}
{% macro order_in_time(at, tie) -%}
    cast(epoch_us({{ at }}) as hugeint) * 18446744073709551616 + {{ tie }}
{%- endmacro %}
