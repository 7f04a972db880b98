-- Models cross join the settings: none would empty them, two would double them.
select count(*) as rows_count
from {{ ref('stg_relay__settings') }}
having count(*) != {{ 0 if flags.EMPTY else 1 }}
