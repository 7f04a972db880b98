{#- The incremental strategy `supersede`: new rows take the place of those with the same key. Rows of a
    region take leave too, whether or not new ones come: what a build resolves again may also vanish.
    Where everything is resolved anew, nothing stays.

    The model's config has `unique_key` (a column, or a list of them) and in `meta`:
    - `region`, where rows may vanish: a model whose column `region_key` lists the keys that were resolved
      again. Of a list of columns `region_key` is the one by which rows may vanish.
    - `part`, in the room of identity: which part of it the table belongs to, see `resolves_anew`.
-#}
{% macro get_incremental_supersede_sql(arg_dict) -%}
    {%- set target = arg_dict['target_relation'] -%}
    {%- set temporary = arg_dict['temp_relation'] -%}
    {%- set key = arg_dict['unique_key'] -%}
    {%- set meta = config.get('meta', {}) -%}
    create temp table {{ temporary }} as (
        {{ arg_dict['query'] }}
    );

    {% if 'part' in meta and resolves_anew(meta['part']) -%}
    delete from {{ target }};
    {%- elif key is string %}
    delete from {{ target }}
    where
        {{ key }} in (
            {{ keys_of(temporary, key) }}
            {%- if 'region' in meta %}
            union all
            {{ keys_of(ref(meta['region']), meta['region_key']) }}
            {%- endif %}
        );
    {%- else %}
    {%- if 'region' in meta %}
    delete from {{ target }}
    where {{ meta['region_key'] }} in ({{ keys_of(ref(meta['region']), meta['region_key']) }});
    {%- endif %}

    delete from {{ target }}
    using {{ temporary }}
    where
        {%- for column in key %}
        {{ target }}.{{ column }} = {{ temporary }}.{{ column }}
        {{- ' and' if not loop.last }}
        {%- endfor %};
    {%- endif %}

    insert into {{ target }} by name
    select * from {{ temporary }}
{%- endmacro %}
