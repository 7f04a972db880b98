-- One row per sync and person touched by this build who had a key before it; none if all is anew.
-- With the keys they have now: where a cohort and its destination may differ since. Not all there
-- is: what a build that was cut short has replaced is not here.
{{ config(meta={'part': 'keys'}) }}
{% set anew = resolves_anew('keys') -%}

with

touched_persons as (

    select * from {{ ref('identity__touched_persons') }}

),

{% if anew -%}
    before as (

        select
            anchor_key,
            cast(null as varchar) as sync_name,
            cast(null as varchar) as key_type,
            cast(null as varchar) as match_key,
            cast(null as ubigint) as key_hash
        from touched_persons
        where false

    )
{%- else -%}
    -- As the last build left them; a ref would be a circle.
    before as (

        select * from identity.keys
        where
            match_key is not null
            and anchor_key in ({{ keys_of('touched_persons', 'anchor_key') }})

    )
{%- endif %}

select
    anchor_key,
    sync_name,
    key_type,
    match_key,
    key_hash
from before
