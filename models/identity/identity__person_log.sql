-- One row per person id ever published: the anchor it was made of; rows are only added (ID-13).
{{ config(
    materialized='incremental',
    incremental_strategy='append',
    full_refresh=false,
) }}

with

touched_persons as (

    select * from {{ ref('identity__touched_persons') }}

),

persons as (

    select
        person_id,
        anchor
    from {{ ref('identity__resolved_persons') }}
    {% if not resolves_anew('persons') %}
        where anchor_key in ({{ keys_of('touched_persons', 'anchor_key') }})
    {% endif %}

)

select persons.*
from persons
{% if is_incremental() %}
    anti join {{ this }} as published
        on persons.person_id = published.person_id
{% endif %}
