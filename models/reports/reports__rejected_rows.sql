-- One row per line of any input that could not be read: where it stood and why.
select
    source as source_name,
    source_file,
    line_number,
    reason,
    content,
    load_id,
    loaded_at
from {{ source('raw', 'rejected_rows') }}
