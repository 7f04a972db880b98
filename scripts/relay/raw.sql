-- The raw tables: what loaders, syncs.yml and the ledger leave for dbt to read.
-- Vendor columns keep the vendor's names. `load_id` counts loads up (it orders, time does not);
-- `source_file` is a path below landing/. Every statement may run again on a file that has it.
create schema if not exists raw;

create sequence if not exists raw.load_ids;

-- One row per event of Amplitude's export: its 55 keys, then what else the line held.
-- A value its column cannot hold is null there and kept, under its own key, in `extra`, where the
-- second value of a key that stands there twice is `key#2`. `project` is what the loads were told
-- with --project, else null: then `app` says it. `source_file` ends with the archive's member.
create table if not exists raw.amplitude_events (
    "$insert_id" varchar,
    "$insert_key" varchar,
    "$schema" bigint,
    adid varchar,
    amplitude_attribution_ids json,
    amplitude_event_type varchar,
    amplitude_id bigint,
    app bigint,
    city varchar,
    client_event_time timestamp,
    client_upload_time timestamp,
    country varchar,
    data json,
    data_type varchar,
    device_brand varchar,
    device_carrier varchar,
    device_family varchar,
    device_id varchar,
    device_manufacturer varchar,
    device_model varchar,
    device_type varchar,
    dma varchar,
    event_id bigint,
    event_properties json,
    event_time timestamp,
    event_type varchar,
    global_user_properties json,
    group_properties json,
    groups json,
    idfa varchar,
    ip_address varchar,
    is_attribution_event boolean,
    language varchar,
    library varchar,
    location_lat double,
    location_lng double,
    os_name varchar,
    os_version varchar,
    partner_id varchar,
    paying boolean,
    plan json,
    platform varchar,
    processed_time timestamp,
    region varchar,
    sample_rate double,
    server_received_time timestamp,
    server_upload_time timestamp not null,
    session_id bigint,
    source_id varchar,
    start_version varchar,
    user_creation_time timestamp,
    user_id varchar,
    user_properties json,
    uuid uuid not null,
    version_name varchar,
    extra json,
    project varchar,
    source_file varchar not null,
    line_number bigint,
    load_id bigint not null,
    loaded_at timestamp not null
);

-- One row per project and hour of Amplitude's export: whether it is loaded, and from which bytes.
-- `row_count` is how many lines those bytes have for the hour. Hours are read again until they have
-- been read once when no late event is to be expected any more: from then on `is_final`.
create table if not exists raw.loaded_windows (
    project varchar not null,
    hour timestamp not null,
    state varchar not null,
    row_count bigint,
    is_final boolean not null default false,
    source_file varchar,
    sha256 varchar,
    reason varchar,
    load_id bigint,
    loaded_at timestamp not null
);

-- One row per project: the first hour that `load events` without --from cares for.
create table if not exists raw.event_load_starts (
    project varchar not null,
    starts_at timestamp not null
);

-- One row per landed file that was read or refused, and what became of its rows. Two files with one
-- `content_sha256` hold the same members, byte for byte, whatever their archives look like.
create table if not exists raw.loaded_files (
    source varchar not null,
    source_file varchar not null,
    sha256 varchar not null,
    content_sha256 varchar not null,
    state varchar not null,
    row_count bigint,
    loaded bigint,
    duplicates bigint,
    rejected bigint,
    reason varchar,
    load_id bigint,
    loaded_at timestamp not null
);

-- One row per line of any input that could not be read: where it stood, why, and its bytes.
create table if not exists raw.rejected_rows (
    source varchar not null,
    source_file varchar not null,
    line_number bigint not null,
    reason varchar not null,
    content blob,
    load_id bigint not null,
    loaded_at timestamp not null
);

-- One row per merged Amplitude id as the bucket export delivers it.
create table if not exists raw.amplitude_merges (
    scope bigint,
    merge_time bigint,
    merge_server_time bigint,
    amplitude_id bigint not null,
    merged_amplitude_id bigint not null,
    source_file varchar not null,
    load_id bigint not null,
    loaded_at timestamp not null
);

-- One row per cohort of Amplitude's list, as last seen; `vanished_at` once the list has it no more.
create table if not exists raw.amplitude_cohorts (
    cohort_id varchar not null,
    cohort_name varchar,
    app_id bigint,
    description varchar,
    size bigint,
    last_computed timestamp,
    last_mod timestamp,
    created_at timestamp,
    is_published boolean,
    is_archived boolean,
    is_finished boolean,
    definition json,
    listed_at timestamp not null,
    vanished_at timestamp
);

-- One row per download request spent on a cohort: the ledger of the monthly budget. Its `state` is
-- `sending` (asked, the answer not seen yet), `requested` (`request_id` is known, the file is not
-- here), `landed`, `loaded`, `refused` (the file is not the whole cohort), `failed` (Amplitude could
-- not make it), `expired` or `lost` (whether it was spent is not known).
create table if not exists raw.cohort_requests (
    request_id varchar not null,
    cohort_id varchar not null,
    requested_at timestamp not null,
    last_computed timestamp,
    state varchar not null,
    reason varchar,
    source_file varchar
);

-- One row per `last_computed` of a cohort that the list ever showed: how often it moves is the
-- forecast of its downloads.
create table if not exists raw.cohort_computations (
    cohort_id varchar not null,
    last_computed timestamp not null,
    seen_at timestamp not null
);

-- One row per accepted snapshot of a cohort.
create table if not exists raw.amplitude_cohort_snapshots (
    snapshot_id varchar not null,
    cohort_id varchar not null,
    cohort_name varchar not null,
    app_id bigint,
    last_computed timestamp not null,
    declared_size bigint,
    row_count bigint not null,
    source_file varchar not null,
    sha256 varchar not null,
    load_id bigint not null,
    loaded_at timestamp not null
);

-- One row per run of snapshots in which a cohort's file held a row: from the `last_computed` of the
-- first snapshot with it (`entered_at`) to that of the first one without it (`left_at`, null: still in).
create table if not exists raw.amplitude_cohort_members (
    cohort_id varchar not null,
    amplitude_id bigint,
    user_id varchar,
    properties json,
    row_count bigint not null,
    entered_at timestamp not null,
    left_at timestamp,
    source_file varchar not null,
    load_id bigint not null
);

-- One row per user of a destination's own directory.
create table if not exists raw.known_users (
    destination varchar not null,
    user_key varchar,
    anonymous_key varchar,
    source_file varchar not null,
    load_id bigint not null,
    loaded_at timestamp not null
);

-- One row per sealed plan, from its manifest.
create table if not exists raw.plans (
    plan_id varchar not null,
    plan_hash varchar not null,
    kind varchar not null,
    created_at timestamp not null,
    undoes varchar,
    has_ledger boolean not null
);

-- One row per sealed plan and sync, from the manifest; `planned` is how many rows it has.
create table if not exists raw.plan_syncs (
    plan_id varchar not null,
    sync_name varchar not null,
    kind varchar,
    destination varchar,
    delivery varchar,
    cohort_id varchar,
    cohort_name varchar,
    snapshot_id varchar,
    ledger_seq bigint,
    added bigint,
    removed bigint,
    reasserted bigint,
    refreshed bigint,
    renamed bigint,
    unchanged bigint,
    in_doubt bigint,
    unaddressable bigint,
    suppressed bigint,
    parked bigint,
    state varchar,
    reason varchar,
    changes_hash varchar,
    has_rows boolean not null,
    planned bigint
);

-- One row per change of a sealed plan: at which request and position it stands.
create table if not exists raw.plan_rows (
    plan_id varchar not null,
    sync_name varchar not null,
    change_id varchar not null,
    request bigint not null,
    "position" bigint not null,
    phase integer,
    "action" varchar not null,
    reason varchar,
    key_type varchar,
    key_value varchar,
    match_key varchar,
    cohort_name varchar,
    payload_hash varchar,
    person_ids varchar[],
    anchors varchar[]
);

-- One row per line of the ledger. `line_file` is its file below ledger/.
create table if not exists raw.ledger_lines (
    seq bigint not null,
    "at" timestamp not null,
    kind varchar not null,
    plan_id varchar,
    sync_name varchar,
    request bigint,
    attempt bigint,
    http_status bigint,
    outcome varchar,
    rejected struct("position" bigint, code varchar, "text" varchar)[],
    unknown bigint[],
    detail json,
    line_file varchar not null
);

-- One row: the generation of the ledger tables. It moves when a plan or a ledger file that had been
-- read is gone or shorter, so that what was folded from it is folded anew.
create table if not exists raw.ledger_generation (generation bigint not null);

-- One row per event of MoEngage's Streams or cloud export, once per `event_uuid`: its keys, then what
-- else the event held. `uid` and `moe_anonymous_id` (of the user's attributes) are text or null; a value
-- that its column cannot hold is null there and kept, under its own key, in `extra`.
-- `envelope` is what stood around the event.
create table if not exists raw.moengage_events (
    event_uuid varchar not null,
    event_code varchar,
    event_name varchar,
    event_type varchar,
    event_source varchar,
    event_time timestamp,
    uid varchar,
    moe_anonymous_id varchar,
    moengage_user_id varchar,
    email_id varchar,
    push_id varchar,
    mobile_number varchar,
    event_attributes json,
    user_attributes json,
    device_attributes json,
    extra json,
    envelope json,
    source_file varchar not null,
    load_id bigint not null,
    loaded_at timestamp not null
);

-- One row per file of MoEngage events that was loaded, the bodies the webhook landed among them.
create table if not exists raw.moengage_files (
    source_file varchar not null,
    row_count bigint not null,
    loaded_count bigint not null,
    duplicate_count bigint not null,
    rejected_count bigint not null,
    load_id bigint not null,
    loaded_at timestamp not null
);

-- One row per day of the webhook whose bodies are all loaded, and to which none comes any more.
create table if not exists raw.moengage_days ("day" date not null);

-- One row per event of CleverTap. There is no id in an event: `event_key` is a hash of its name, its
-- user, its `ts` and its properties, and `occurrence` counts the equal ones of one file. `ts` is
-- `yyyymmddHHMMSS` in the project's zone, which is `time_zone`. `origin` is `file`, or `api` while
-- only the events API has served it; `is_withdrawn`: a later reading of its day had it no more.
create table if not exists raw.clevertap_events (
    event_key varchar not null,
    occurrence bigint not null,
    event_name varchar not null,
    ts bigint,
    time_zone varchar not null,
    identity varchar,
    object_id varchar,
    email varchar,
    phone varchar,
    profile json,
    device_info json,
    event_props json,
    session_props json,
    control_group_name varchar,
    extra json,
    origin varchar not null,
    is_withdrawn boolean not null,
    source_file varchar not null,
    load_id bigint not null,
    loaded_at timestamp not null
);

-- One row per event name and day of CleverTap's events API: the reading that holds.
create table if not exists raw.clevertap_windows (
    event_name varchar not null,
    event_day date not null,
    row_count bigint not null,
    source_file varchar not null,
    load_id bigint not null,
    loaded_at timestamp not null
);

-- One row per line of the file that `relay identify` was given last: a user id of Amplitude's and the
-- identity that CleverTap knows the same user by; `problem`: why the line could not be read.
create table if not exists raw.identities (
    line bigint not null,
    user_id varchar,
    clevertap_identity varchar,
    problem varchar
);

-- One row per input of the last build that came to its end, and one for the project that built it:
-- what it was then. Empty while, or after, a build ran whose end is not known.
create table if not exists raw.built (
    name varchar not null,
    state varchar not null
);
