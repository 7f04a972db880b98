-- One row per event that MoEngage or CleverTap reported, under the name that Amplitude gets to see.
select * from {{ ref('events__moengage_named') }}
union all by name
select * from {{ ref('events__clevertap_named') }}
