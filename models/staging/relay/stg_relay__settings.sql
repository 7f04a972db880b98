-- The one row of settings that hold for all syncs.
with

source as (

    select * from {{ source('raw', 'settings') }}

)

select
    -- Amplitude and identity
    amplitude_project,
    amplitude_min_id_length,
    device_linking,
    max_user_ids_per_device,
    flag_amplitude_ids_per_person,
    flag_devices_per_person,

    -- destinations
    clevertap_event_name,
    clevertap_match_case,
    clevertap_max_identity_bytes,
    clevertap_on_unknown,
    clevertap_reassert,
    clevertap_list_email,
    clevertap_list_creator,
    moengage_anonymous_keys,
    moengage_cohort_name_format,
    moengage_on_unknown,
    moengage_reassert,
    lytics_additional_fields,
    lytics_max_identifier_bytes,
    lytics_max_stitched_amplitude_ids,
    lytics_on_unknown,
    lytics_reassert
from source
