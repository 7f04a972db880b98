{#- The columns of Lytics' stream amplitude_events that an event fills by itself, in the order in which a record
    has them: the stream's name for each, the name in fields__lytics_event_rows, and what it holds (text,
    integer, number, boolean or time). The two unique ids and the properties come beside them.
-#}
{% macro lytics_event_columns() -%}
    {%- set columns = [
        ('$insert_id', 'insert_id', 'text'), ('$insert_key', 'insert_key', 'text'),
        ('$schema', 'schema_version', 'integer'),
        ('amplitude_attribution_ids', 'amplitude_attribution_ids', 'text'),
        ('app', 'app', 'integer'), ('data', 'data', 'text'), ('event_id', 'event_id', 'integer'),
        ('is_attribution_event', 'is_attribution_event', 'boolean'),
        ('location_lat', 'location_lat', 'number'), ('location_lng', 'location_lng', 'number'),
        ('paying', 'paying', 'boolean'),
    ] -%}
    {%- for name in [
        'sample_rate', 'session_id', 'uuid',
        'adid', 'amplitude_event_type', 'city', 'country', 'data_type', 'device_brand',
        'device_carrier', 'device_family', 'device_id', 'device_manufacturer', 'device_model',
        'device_type', 'dma', 'event_type', 'idfa', 'ip_address', 'language', 'library', 'os_name',
        'os_version', 'partner_id', 'platform', 'region', 'source_id', 'start_version',
        'version_name',
    ] -%}
        {%- do columns.append((name, name, 'text')) -%}
    {%- endfor -%}
    {%- for name in [
        'client_event_time', 'client_upload_time', 'event_time', 'processed_time',
        'server_received_time', 'server_upload_time', 'user_creation_time',
    ] -%}
        {%- do columns.append((name, name, 'time')) -%}
    {%- endfor -%}
    {{ return(columns) }}
{%- endmacro %}
