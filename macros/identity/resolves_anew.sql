{#- Whether a part of identity is built from everything there is, not from what came since the last
    complete build: with `--full-refresh`, in a unit test, or where `identity.scope` says so. Always the
    same in one build, so it is asked once and kept where dbt keeps its graph, which all models share.

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
    {%- if graph['scope_of'] != invocation_id -%}
        {%- set rows = run_query('select * from ' ~ scope).rows -%}
        {%- do graph.update({'scope': rows[0].dict() if rows else {}, 'scope_of': invocation_id}) -%}
    {%- endif -%}
    {{ return(graph['scope'].get(part ~ '_is_new', true)) }}
{%- endmacro %}
