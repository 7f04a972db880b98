-- One row: what this build resolves: since which load, and which parts from the beginning.
{{ config(pre_hook="{{ forget_progress() }}") }}

{% set carried_on = [
    'repeated_events', 'sightings', 'merges', 'devices', 'device_links', 'candidates', 'stops',
    'identifiers', 'suppressed', 'resolved_persons', 'property_values', 'person_log', 'keys',
    'progress',
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

cohort_syncs as (

    select
        sync_name,
        cohort_id,
        destination,
        user_id_from,
        anonymous_id_from
    from {{ ref('stg_relay__syncs') }}
    where kind = 'cohort_sync'

),

clevertap_exports as (

    select sync_name
    from {{ ref('stg_relay__syncs') }}
    where kind = 'event_export' and json_extract_string(config, '$.source') = 'clevertap'

),

events as (

    select load_id from {{ ref('stg_amplitude__events') }}

),

merge_rows as (

    select load_id from {{ ref('stg_amplitude__merges') }}

),

members as (

    select cohort_id from {{ ref('stg_amplitude__cohort_members') }}

),

directories as (

    select
        destination,
        max(load_id) as load_id,
        count(*) as users_count
    from {{ ref('stg_directories__known_users') }}
    group by destination

),

blocked as (

    select blocked_value from {{ ref('moengage_blocked_ids') }}

),

asked as (

    select distinct unnest(list_concat(user_id_from, anonymous_id_from)) as property
    from cohort_syncs

),

-- What each part depends on, besides rows of evidence. Raise the number where a change of the
-- models needs everything anew.
rules as (

    select
        concat_ws(
            ' ',
            'rules 1',
            (select {{ digest_of('junk_ids') }} from junk_ids),
            (select {{ digest_of('namespaces') }} from namespaces)
        ) as evidence_rules,
        concat_ws(' ', settings.device_linking, settings.max_user_ids_per_device) as links_rules,
        concat_ws(
            ' ',
            settings.flag_amplitude_ids_per_person,
            settings.flag_devices_per_person,
            (select {{ digest_of('suppressions') }} from suppressions)
        ) as persons_rules,
        concat_ws(
            ' ',
            (select {{ digest_of('asked') }} from asked),
            (select count(*) > 0 from clevertap_exports)
        ) as properties_rules,
        concat_ws(
            ' ',
            settings.clevertap_match_case,
            settings.clevertap_max_identity_bytes,
            settings.moengage_anonymous_keys,
            settings.lytics_max_identifier_bytes,
            (select {{ digest_of('cohort_syncs') }} from cohort_syncs),
            (select {{ digest_of('directories') }} from directories),
            (select {{ digest_of('blocked') }} from blocked)
        ) as keys_rules
    from settings

),

{% if missing -%}
    progress as (

        select
            0 as load_id,
            0 as build_number,
            cast(null as varchar) as evidence_rules,
            cast(null as varchar) as links_rules,
            cast(null as varchar) as persons_rules,
            cast(null as varchar) as properties_rules,
            cast(null as varchar) as keys_rules,
            0 as events_count,
            0 as merges_count,
            0 as members_count

    ),
{%- else -%}
    -- How far the last complete build had come; a ref would be a circle.
    progress as (

        select * from identity.progress

    ),
{%- endif %}

-- Rows that were taken up and are gone (a person was forgotten) leave no trace but their number.
kept as (

    select
        (
            select count(*) from events
            where events.load_id <= (select taken_up.load_id from progress as taken_up)
        ) = progress.events_count
        and (
            select count(*) from merge_rows
            where merge_rows.load_id <= (select taken_up.load_id from progress as taken_up)
        ) = progress.merges_count
        and (
            select count(*) from members
        ) >= progress.members_count as has_all_rows
    from progress

),

compared as (

    select
        rules.*,
        coalesce(progress.load_id, 0) as since_load_id,
        coalesce(progress.build_number, 0) + 1 as build_number,
        coalesce(kept.has_all_rows and rules.evidence_rules = progress.evidence_rules, false)
            as has_evidence,
        coalesce(rules.links_rules = progress.links_rules, false) as has_links,
        coalesce(rules.persons_rules = progress.persons_rules, false) as has_persons,
        coalesce(rules.properties_rules = progress.properties_rules, false) as has_properties,
        coalesce(rules.keys_rules = progress.keys_rules, false) as has_keys
    from rules
    left join progress
        on true
    left join kept
        on true

)

select
    -- since when
    since_load_id,
    build_number,

    -- what is resolved from the beginning
    not has_evidence as evidence_is_new,
    not has_evidence or not has_links as links_is_new,
    not has_evidence or not has_links or not has_persons as persons_is_new,
    not has_evidence or not has_properties as properties_is_new,
    not has_evidence or not has_links or not has_persons or not has_properties or not has_keys
        as keys_is_new,

    -- under which rules
    evidence_rules,
    links_rules,
    persons_rules,
    properties_rules,
    keys_rules
from compared
