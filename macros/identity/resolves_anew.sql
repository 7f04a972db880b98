{#- Whether a part of identity is built from everything there is, not from what came since the last
    complete build: with `--full-refresh`, in a unit test, or where `identity.scope` says so. Answered anew
    for each model, and always the same in one build.

    part: `evidence`, `links`, `persons`, `properties` or `keys`, see `identity__scope`.

    The linter, which has no database, reads the other branch.
-#}
{% macro resolves_anew(part) -%}
    {%- set scope = ref('identity__scope') -%}
    {%- if execute is not defined -%} {{ return(false) }} {%- endif -%}
    {%- if not execute or flags.FULL_REFRESH or model.resource_type == 'unit_test' -%}
        {{ return(true) }}
    {%- endif -%}
    {%- if load_relation(scope) is none -%} {{ return(true) }} {%- endif -%}
    {%- set answer = run_query('select ' ~ part ~ '_is_new from ' ~ scope) -%}
    {{ return(answer.rows[0][0] if answer.rows else true) }}
{%- endmacro %}
