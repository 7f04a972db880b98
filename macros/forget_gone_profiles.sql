{#- Hook of payloads__lytics_user_profiles: takes out profiles that there are no more. Before the build, so that the
    files written after it do not have them.

    relation: the table being built.
-#}
{% macro forget_gone_profiles(relation) -%}
    {%- if is_incremental() -%}
    delete from {{ relation }}
    where profile_id not in (
        select profile_id from {{ ref('fields__lytics_profile_sources') }}
    )
    {%- else -%}
    select 1
    {%- endif -%}
{%- endmacro %}
