"""An Amplitude export: a day's archive of gzipped members, about 2.2 KB an event, and its truth.

One event in 200 stands twice (the export gives it again, under the same uuid), one in 200 is a
client's retry (another uuid, the same device and `$insert_id`), one in 1,000 has what trips readers
up: keys that differ only in case, dots and escapes in keys, integers of 64 bits.
"""

import json
import zipfile
from dataclasses import asdict, dataclass
from pathlib import Path

import duckdb
from duckdb import DuckDBPyConnection

LINES_A_MEMBER = 25_000
HOURS = 24


@dataclass(frozen=True)
class EventTruth:
    """What a load of the archive must give: counts, and sums over the stored rows."""

    lines: int
    events: int
    amplitude_ids: int
    user_ids: int
    properties: int
    times: int


def make_export(folder: Path, size: int, *, day: int = 0) -> None:
    """Write `export.zip`, its members apart in `members/`, and `truth.json`.

    Args:
        folder: Where to.
        size: Lines.
        day: Days after 2026-03-01; another day has other events.
    """
    members = folder / "members"
    members.mkdir(parents=True)
    with duckdb.connect() as connection:
        connection.execute("set preserve_insertion_order = true")
        make_lines(connection, size, day)
        truth = truth_of(connection, "(select distinct on (uuid) * from lines)", size)
        parts = max(1, -(-size // HOURS // LINES_A_MEMBER))
        for hour in range(HOURS):
            for part in range(parts):
                path = members / f"829528_2026-03-{day + 1:02}_{hour}#{part}.json.gz"
                connection.execute(
                    "copy (select * exclude (line) from lines where line % $slots = $slot) to"
                    f" '{path}' (format json, compression gzip)",
                    {"slots": HOURS * parts, "slot": hour * parts + part},
                )
    with zipfile.ZipFile(folder / "export.zip", "w", zipfile.ZIP_STORED) as archive:
        for path in sorted(members.iterdir()):
            archive.write(path, f"829528/{path.name}")
    (folder / "truth.json").write_text(json.dumps(asdict(truth)), encoding="utf-8")


def read_truth(folder: Path) -> EventTruth:
    """The truth of the export in the folder."""
    return EventTruth(**json.loads((folder / "truth.json").read_text(encoding="utf-8")))


def truth_of(connection: DuckDBPyConnection, rows: str, lines: int) -> EventTruth:
    """The same counts and sums over stored events; JSON is compared as it is written."""
    ((events, amplitude_ids, user_ids, properties, times),) = connection.execute(
        f"""
        select
            count(distinct uuid),
            sum(hash(cast(amplitude_id as varchar))),
            sum(hash(user_id)),
            sum(hash(cast(event_properties as varchar)))
            + sum(hash(cast(user_properties as varchar))),
            sum(hash(strftime(cast(event_time as timestamp), '%Y-%m-%d %H:%M:%S.%f')))
        from {rows}
        """
    ).fetchall()
    return EventTruth(lines, events, int(amplitude_ids), int(user_ids), int(properties), int(times))


def make_lines(connection: DuckDBPyConnection, size: int, day: int) -> None:
    """Make the temporary table `lines`: the export's keys, and `line`, their order."""
    connection.execute(
        """
        create or replace temp table lines as
        with numbers as (
            select
                line,
                -- The export gives an event again: the line before, as it was.
                if(line % 200 = 199, line - 1, line) + cast($day as bigint) * 1000000000 as event,
                cast(hash(event) >> 1 as bigint) as dice
            from range($size) as range(line)
        ),
        described as (
            select
                *,
                dice % ($size // 5 + 1) as person,
                -- A retry has the `$insert_id` of another event of its device.
                if(event % 200 = 77, event - 1, event) as first_try,
                timestamp '2026-03-01' + to_days($day) + to_hours(cast(event % 24 as integer))
                + to_milliseconds(cast(dice % 3600000 as integer)) as happened_at
            from numbers
        )
        select
            line,
            format('{:08x}-0000-4000-8000-{:012x}', first_try % 4294967296, first_try)
                as "$insert_id",
            null as "$insert_key",
            null as "$schema",
            null as adid,
            null as amplitude_attribution_ids,
            null as amplitude_event_type,
            800000000000 + person as amplitude_id,
            829528 as app,
            ['Kochi', 'Mumbai', 'Pune', 'Köln', '東京'][dice % 5 + 1] as city,
            strftime(happened_at, '%Y-%m-%d %H:%M:%S.%f') as client_event_time,
            strftime(happened_at + interval 2 second, '%Y-%m-%d %H:%M:%S.%f')
                as client_upload_time,
            'India' as country,
            cast('{"path":"/2/httpapi","group_first_event":{}}' as json) as data,
            'event' as data_type,
            'Samsung' as device_brand,
            'Airtel' as device_carrier,
            'Samsung Galaxy' as device_family,
            format('device-{:016x}', hash(first_try % ($size // 4 + 1))) as device_id,
            'Samsung' as device_manufacturer,
            'SM-' || dice % 200 as device_model,
            'Samsung Galaxy' as device_type,
            null as dma,
            event % 100000 as event_id,
            cast(case
                when event % 1000 = 500 then
                    '{"Plan":"a","plan":"b","a.b":{"c\\"d":null},"big":9223372036854775807}'
                else '{"screen":"home","position":' || dice % 50
                    || ',"product":{"sku":"SKU-' || dice % 9000 || '","price":' || dice % 900
                    || '.5,"tags":["sale","new"]},"search":"' || repeat('running shoes ', 8) || '"}'
            end as json) as event_properties,
            strftime(happened_at, '%Y-%m-%d %H:%M:%S.%f') as event_time,
            'Event ' || dice % 200 as event_type,
            cast('{}' as json) as global_user_properties,
            cast('{}' as json) as group_properties,
            cast('{}' as json) as groups,
            null as idfa,
            '203.0.113.' || dice % 256 as ip_address,
            null as is_attribution_event,
            'English' as language,
            'amplitude-ts/2.11.1' as library,
            null as location_lat,
            null as location_lng,
            'Android' as os_name,
            '14' as os_version,
            null as partner_id,
            if(dice % 3 = 0, 'true', null) = 'true' as paying,
            cast('{}' as json) as plan,
            'Android' as platform,
            strftime(happened_at + interval 9 second, '%Y-%m-%d %H:%M:%S.%f') as processed_time,
            'Kerala' as region,
            null as sample_rate,
            strftime(happened_at + interval 3 second, '%Y-%m-%d %H:%M:%S.%f')
                as server_received_time,
            strftime(happened_at + interval 4 second, '%Y-%m-%d %H:%M:%S.%f')
                as server_upload_time,
            epoch_ms(happened_at) as session_id,
            null as source_id,
            null as start_version,
            '2026-01-01 00:00:00.000000' as user_creation_time,
            if(person % 5 = 0, null, 'user-' || person) as user_id,
            cast('{"CleverTap_Identity":"ct-' || person || '","email_opt_in":true,"visits":'
            || dice % 300 || ',"interests":["chess","film","cricket"],"city":"Kochi","about":"'
            || repeat('likes long walks and short queues ', 14) || '","scores":{"a":'
            || dice % 7 || ',"b":[1,2,3]}}' as json) as user_properties,
            format('{:08x}-1111-4111-8111-{:012x}', event % 4294967296, event) as uuid,
            '4.2.' || dice % 9 as version_name
        from described
        order by line
        """,
        {"size": size, "day": day},
    )
