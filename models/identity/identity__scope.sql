-- One row: what this build resolves: since which load, and which parts from the beginning.
{{ config(pre_hook="{{ forget_progress() }}") }}
{% set carried_on = [
    'repeated_events', 'sightings', 'merges', 'devices', 'device_links', 'candidates', 'stops', 'identifiers',
    'suppressed', 'persons', 'property_values', 'person_log', 'progress',
] -%}
{% set missing = [] -%}
{% for name in carried_on if not left_by_last_build(name) -%}
    {% do missing.append(name) -%}
{% endfor -%}
with

junk_ids as (

    select * from {{ ref('stg_relay__junk_ids') }}

),

namespaces as (

    select * from {{ ref('stg_relay__namespaces') }}

),

settings as (

    select * from {{ ref('stg_relay__settings') }}

),

suppressions as (

    select * from {{ ref('stg_relay__suppressions') }}

),

syncs as (

    select * from {{ ref('stg_relay__syncs') }}

),

events as (

    select load_id from {{ ref('stg_amplitude__events') }}

),

members as (

    select cohort_id from {{ ref('stg_amplitude__cohort_members') }}

),

merges as (

    select load_id from {{ ref('stg_amplitude__merges') }}

),

asked as (

    select distinct unnest(list_concat(user_id_from, anonymous_id_from)) as property
    from syncs
    where kind = 'cohort_sync'

),

-- The rules in force. Raise the number where a change of the models needs everything anew.
rules as (

    select
        'rules 1 ' || (
            select {{ digest_of('junk_ids') }} from junk_ids
        ) || (
            select {{ digest_of('namespaces') }} from namespaces
        ) as evidence_rules,
        settings.device_linking || ' ' || settings.max_user_ids_per_device as links_rules,
        settings.flag_amplitude_ids_per_person || ' ' || settings.flag_devices_per_person || ' '
        || (select {{ digest_of('suppressions') }} from suppressions) as persons_rules,
        (select {{ digest_of('asked') }} from asked) as properties_rules
    from settings

),

{% if missing -%}
    compared as (

        select
            rules.*,
            0 as since_load_id,
            1 as build_number,
            false as has_evidence,
            false as has_links_rules,
            false as has_persons_rules,
            false as has_properties_rules
        from rules

    )
{%- else -%}
    -- How far the last complete build had come; a ref would be a circle.
    progress as (

        select * from identity.progress

    ),

    compared as (

        select
            rules.*,
            coalesce(progress.load_id, 0) as since_load_id,
            coalesce(progress.build_number, 0) + 1 as build_number,
            -- Rows that were taken up and are gone (a person was forgotten) leave no trace but
            -- this.
            rules.evidence_rules = progress.evidence_rules
            and progress.events_count = (
                select count(*) from events
                where events.load_id <= progress.load_id
            )
            and progress.merges_count = (
                select count(*) from merges
                where merges.load_id <= progress.load_id
            )
            and progress.members_count <= (
                select count(*) from members
            ) as has_evidence,
            rules.links_rules = progress.links_rules as has_links_rules,
            rules.persons_rules = progress.persons_rules as has_persons_rules,
            rules.properties_rules = progress.properties_rules as has_properties_rules
        from rules
        left join progress
            on true

    )
{%- endif %}

select
    since_load_id,
    build_number,
    evidence_rules,
    links_rules,
    persons_rules,
    properties_rules,
    not coalesce(has_evidence, false) as evidence_is_new,
    not coalesce(has_evidence and has_links_rules, false) as links_is_new,
    not coalesce(has_evidence and has_links_rules and has_persons_rules, false) as persons_is_new,
    not coalesce(has_evidence and has_properties_rules, false) as properties_is_new
from compared
