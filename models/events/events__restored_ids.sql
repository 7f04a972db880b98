-- One row per id that a waiting CleverTap event names: the Amplitude id it stands for.
-- CleverTap folds case and may know a person by another identity, Amplitude does not (ID-21).
{{ config(materialized='table') }}

with

waiting as (

    select * from {{ ref('events__waiting') }}
    where source = 'clevertap'

),

asked_user_ids as (

    select distinct user_value as asked_value
    from waiting
    where user_value is not null

),

known_user_ids as (

    select id_value from {{ ref('events__known_identifiers') }}
    where id_type = 'user_id'

),

clevertap_identities as (

    select * from {{ ref('events__clevertap_identities') }}

),

user_ids as (

    select
        'user_id' as id_type,
        asked_user_ids.asked_value,
        case
            when known_user_ids.id_value is not null then known_user_ids.id_value
            when clevertap_identities.persons_count = 1 then clevertap_identities.primary_user_id
            else asked_user_ids.asked_value
        end as id_value,
        known_user_ids.id_value is null
        and coalesce(clevertap_identities.persons_count > 1, false) as is_ambiguous,
        coalesce(clevertap_identities.is_suppressed, false) as is_suppressed
    from asked_user_ids
    left join known_user_ids
        on asked_user_ids.asked_value = known_user_ids.id_value
    left join clevertap_identities
        on {{ fold_text('asked_user_ids.asked_value') }} = clevertap_identities.folded_value

),

asked_device_ids as (

    select distinct device_value as asked_value
    from waiting
    where device_value is not null

),

-- As it is, then without the prefix of a stored custom id; each exactly, then without case.
forms as (

    select
        asked_value,
        1 as form,
        asked_value as form_value
    from asked_device_ids

    union all

    select
        asked_value,
        2 as form,
        asked_value[4:] as form_value
    from asked_device_ids
    where starts_with(asked_value, '__h')

    union all

    select
        asked_value,
        2 as form,
        asked_value[3:] as form_value
    from asked_device_ids
    where starts_with(asked_value, '-h')

),

known_device_ids as (

    select
        device_id,
        {{ fold_text('device_id') }} as folded_id
    from {{ ref('events__known_devices') }}

),

candidates as (

    select
        forms.asked_value,
        forms.form,
        forms.form_value,
        known_device_ids.device_id,
        count(*) over (
            partition by forms.asked_value, forms.form
        ) as alike_count
    from forms
    inner join known_device_ids
        on {{ fold_text('forms.form_value') }} = known_device_ids.folded_id

),

device_ids as (

    select
        'device_id' as id_type,
        asked_device_ids.asked_value,
        coalesce(
            arg_min(
                candidates.device_id,
                (candidates.form, candidates.device_id != candidates.form_value)
            ),
            asked_device_ids.asked_value
        ) as id_value,
        false as is_ambiguous,
        false as is_suppressed
    from asked_device_ids
    left join candidates
        on
            asked_device_ids.asked_value = candidates.asked_value
            and (
                candidates.device_id = candidates.form_value or candidates.alike_count = 1
            )
    group by asked_device_ids.asked_value

)

select * from user_ids
union all by name
select * from device_ids
