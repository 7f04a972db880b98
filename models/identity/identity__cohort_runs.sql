-- One row per cohort, row of its files and run of snapshots with it, numbered and dated by them: of
-- those that entered or left since the last complete build, or of all.
{{ config(meta={'part': 'properties'}) }}
{# Where evidence is anew, so are properties. -#}
{% set anew = resolves_anew('properties') -%}

with

all_members as (

    select * from {{ ref('stg_amplitude__cohort_members') }}

),

snapshots as (

    select * from {{ ref('stg_amplitude__cohort_snapshots') }}

),

namespaces as (

    select * from {{ ref('stg_relay__namespaces') }}

),

cohorts as (

    select
        cohort_id,
        max(snapshot_number) as newest_number,
        max(load_id) as cohort_load_id,
        max(app_id) filter (where is_newest) as project
    from snapshots
    group by cohort_id

),

{% if not anew -%}
    since as (

        select since_load_id as load_id from {{ ref('identity__scope') }}

    ),

    -- Cohorts with new snapshots: a row that did not move at their times, nor later, is as it was.
    -- Where one came late and lies before others, all rows may count one snapshot more.
    taken_up as (

        select
            snapshots.cohort_id,
            if(
                max(snapshots.last_computed_at) filter (where snapshots.load_id <= since.load_id)
                < min(snapshots.last_computed_at) filter (where snapshots.load_id > since.load_id),
                min(snapshots.last_computed_at) filter (where snapshots.load_id > since.load_id),
                timestamp '-infinity'
            ) as changes_from
        from snapshots
        cross join since
        group by snapshots.cohort_id
        having max(snapshots.load_id) > any_value(since.load_id)

    ),

    moved as (

        select distinct
            all_members.cohort_id,
            all_members.amplitude_id,
            all_members.user_id
        from all_members
        inner join taken_up
            on all_members.cohort_id = taken_up.cohort_id
        where
            all_members.entered_at >= taken_up.changes_from
            or all_members.left_at >= taken_up.changes_from

    ),

{% endif -%}
members as (

    select all_members.* from all_members
    {% if not anew %}
        semi join moved
            on
                all_members.cohort_id = moved.cohort_id
                and all_members.amplitude_id is not distinct from moved.amplitude_id
                and all_members.user_id is not distinct from moved.user_id
    {% endif %}

),

numbered as (

    select
        members.cohort_id,
        coalesce(namespaces.namespace, 'default') as namespace,
        members.amplitude_id,
        members.user_id,
        members.properties,
        members.row_count,
        members.left_at is null as is_open,
        entered.snapshot_number as first_number,
        coalesce(gone.snapshot_number - 1, cohorts.newest_number) as last_number,
        cohorts.cohort_load_id
    from members
    inner join cohorts
        on members.cohort_id = cohorts.cohort_id
    inner join snapshots as entered
        on
            members.cohort_id = entered.cohort_id
            and members.entered_at = entered.last_computed_at
    left join snapshots as gone
        on
            members.cohort_id = gone.cohort_id
            and members.left_at = gone.last_computed_at
    left join namespaces
        on cohorts.project = namespaces.project

)

select
    numbered.*,
    firsts.last_computed_at as first_seen_at,
    lasts.last_computed_at as last_seen_at
from numbered
inner join snapshots as firsts
    on
        numbered.cohort_id = firsts.cohort_id
        and numbered.first_number = firsts.snapshot_number
inner join snapshots as lasts
    on
        numbered.cohort_id = lasts.cohort_id
        and numbered.last_number = lasts.snapshot_number
