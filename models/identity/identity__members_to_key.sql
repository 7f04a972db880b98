-- One row per cohort and person in its newest snapshot, of those whose keys this build makes.
{{ config(meta={'part': 'keys'}) }}
{% set anew = resolves_anew('keys') -%}

with

touched_persons as (

    select * from {{ ref('identity__touched_persons') }}

),

identifiers as (

    select
        identifier_key,
        anchor_key
    from {{ ref('identity__identifiers') }}
    where
        anchor_key is not null
        {% if not anew %}
            and anchor_key in ({{ keys_of('touched_persons', 'anchor_key') }})
        {% endif %}

),

-- A row is of the person of its user id; without one that names somebody, of its amplitude id.
sightings as (

    select
        open_cohort_id as cohort_id,
        identifier_key
    from {{ ref('identity__attributed_sightings') }}
    where
        open_cohort_id is not null
        {% if not anew %}
            and identifier_key in ({{ keys_of('identifiers', 'identifier_key') }})
        {% endif %}

)

select distinct
    sightings.cohort_id,
    identifiers.anchor_key
from sightings
inner join identifiers
    on sightings.identifier_key = identifiers.identifier_key
