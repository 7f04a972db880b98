-- At most one event import into Lytics is enabled: two would send every event twice, and Lytics
-- adds them up.
select
    error(
        'event_imports: ' || string_agg(sync_name, ' and ' order by sync_name)
        || ' would both send every event to Lytics, which would count it twice;'
        || ' leave one of them enabled'
    ) as message
from {{ source('raw', 'syncs') }}
where kind = 'event_import' and is_enabled
having count(*) > 1
