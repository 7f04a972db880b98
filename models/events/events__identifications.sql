-- One row per line of the identify file: what is to be set on which user, or why it is not.
with

lines as (

    select * from {{ ref('stg_identify__identities') }}

),

junk_ids as (

    select * from {{ ref('stg_relay__junk_ids') }}

),

suppressions as (

    select * from {{ ref('stg_relay__suppressions') }}
    where id_type = 'user_id'

),

settings as (

    select * from {{ ref('stg_relay__settings') }}

),

compared as (

    select
        lines.*,
        settings.amplitude_min_id_length,
        settings.clevertap_max_identity_bytes,
        count(distinct lines.clevertap_identity) over (
            partition by lines.user_id
        ) as identities_count,
        row_number() over (
            partition by lines.user_id, lines.clevertap_identity
            order by lines.line
        ) as place
    from lines
    cross join settings

),

judged as (

    select
        *,
        case
            when problem is not null then problem
            when user_id is null then 'no_user_id'
            when {{ is_junk('user_id', 'user_id') }} then 'user_id_blocked'
            when length(user_id) < amplitude_min_id_length then 'user_id_too_short'
            when clevertap_identity is null then 'no_identity'
            when {{ is_junk('clevertap_identity', 'clevertap_identity') }} then 'identity_blocked'
            when strlen(clevertap_identity) > clevertap_max_identity_bytes
                then 'identity_too_long'
            when identities_count > 1 then 'several_identities'
            when
                exists (
                    select 1
                    from suppressions
                    where if(
                        suppressions.match = 'regex',
                        regexp_full_match(compared.user_id, suppressions.id_value),
                        compared.user_id = suppressions.id_value
                    )
                )
                then 'suppressed'
        end as drop_reason
    from compared

),

rendered as (

    select
        *,
        cast(
            json_object(
                'user_id',
                user_id,
                'user_properties',
                json_object('CleverTap_Identity', clevertap_identity)
            ) as varchar
        ) as record
    from judged

)

select
    -- keys
    line,
    user_id,
    clevertap_identity,

    -- attributes
    drop_reason,
    drop_reason is null and place > 1 as is_repeated,
    record,
    {{ hash_of(['record']) }} as payload_hash
from rendered
