-- One row per new event with properties: all in one piece of JSON, flattened under their prefixes.
{{ config(materialized='view') }}
{%- set columns = [
    'event_properties', 'global_user_properties', 'group_properties', 'groups', 'plan',
    'user_properties',
] %}

with recursive

events as (

    select
        uuid,
        {{ columns | join(',\n        ') }}
    from {{ ref('fields__lytics_new_events') }}

),

documents as (

    select
        uuid,
        source_column,
        document
    from (
        unpivot events
        on {{ columns | join(', ') }}
        into name source_column value document
    )

),

top_entries as (

    select
        uuid,
        source_column,
        unnest({{ json_entries('document') }}) as entry
    from documents

),

-- Members of objects within objects get the names of all of them, joined by dots.
named_values as (

    select
        uuid,
        source_column || '.' || entry['key'] as field,
        contains(entry['key'], '.') as has_dots,
        1 as nesting,
        entry['value'] as json_value
    from top_entries
    -- `match("prefix.")` takes no field of which nothing is left.
    where entry['key'] != '' or json_type(entry['value']) = 'OBJECT'

    union all

    select
        uuid,
        field || '.' || entry['key'] as field,
        true as has_dots,
        nesting + 1 as nesting,
        entry['value'] as json_value
    from (
        select
            uuid,
            field,
            nesting,
            unnest({{ json_entries('json_value') }}) as entry
        from named_values
    ) as entries

),

-- Lists become JSON text, numbers and booleans text as it is spelt; null and '' say nothing.
scalars as (

    select
        uuid,
        field,
        has_dots,
        nesting,
        json_value ->> '$' as value_text
    from named_values
    where json_type(json_value) not in ('OBJECT', 'NULL')

),

-- `{"a.b": 1, "a": {"b": 2}}` gives one name twice: the one written out stays.
named_once as (

    select
        uuid,
        field,
        value_text
    from scalars
    where not has_dots and value_text != ''

    union all

    select
        uuid,
        field,
        value_text
    from scalars
    where has_dots and value_text != ''
    qualify row_number() over (partition by uuid, field order by nesting, value_text) = 1

)

select
    uuid,
    array_to_string(list_sort(list(to_json(field) || ':' || to_json(value_text))), ',') as members
from named_once
group by uuid
