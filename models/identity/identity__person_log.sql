-- One row per person id ever published: the anchor it was made of. Rows are only added (ID-13).
{{ config(materialized='incremental', full_refresh=false) }}

with

persons as (

    select * from {{ ref('identity__persons') }}

)

select
    person_id,
    anchor
from persons
{% if is_incremental() %}
    where
        not exists (
            select 1
            from {{ this }} as published
            where published.person_id = persons.person_id
        )
{% endif %}
