"""A client's retries: the earliest upload counts, however late it is loaded, at any distance."""

import random
from datetime import datetime, timedelta
from importlib import resources
from typing import Any

import duckdb
import pytest

from compiled import CompiledModels
from identity_world import uuid_of

MODELS = ("stg_amplitude__retries", "stg_amplitude__distinct_events")
Event = tuple[str, str | None, str | None, int, datetime, int]
"""uuid, insert id, device id, project, upload time, load."""


def warehouse() -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect()
    connection.execute(resources.files("relay").joinpath("raw.sql").read_text(encoding="utf-8"))
    return connection


def take_in(
    connection: duckdb.DuckDBPyConnection, models: CompiledModels, events: list[Event]
) -> None:
    """Load the events and build, as a build after other builds does."""
    connection.executemany(
        'insert into raw.amplitude_events (uuid, "$insert_id", device_id, app, server_upload_time,'
        " load_id, event_type, source_file, loaded_at)"
        " values (?, ?, ?, ?, ?, ?, 'Visit', 'file', timestamp '2026-03-01')",
        events,
    )
    connection.execute("create schema if not exists staging")
    is_built = connection.execute(
        "from duckdb_tables() where table_name = 'stg_amplitude__retries'"
    )
    if is_built.fetchone():
        # What the model's hook does.
        connection.execute(
            "set variable newest_load = (select coalesce(max(load_id), 0)"
            " from staging.stg_amplitude__retries)"
        )
    models.run(connection, MODELS, again=True)


def expected(events: list[Event]) -> set[str]:
    """The uuids that count, by a few lines of Python."""
    firsts: dict[tuple[Any, ...], tuple[datetime, str]] = {}
    for uuid, insert_id, device_id, app, uploaded, _ in events:
        device = (device_id or "").strip()
        key = (app, device, insert_id) if device and insert_id is not None else (uuid,)
        firsts[key] = min(firsts.get(key, (uploaded, uuid)), (uploaded, uuid))
    return {uuid for _, uuid in firsts.values()}


def counting(connection: duckdb.DuckDBPyConnection) -> set[str]:
    rows = connection.execute(
        "select cast(uuid as varchar) from staging.stg_amplitude__distinct_events"
    ).fetchall()
    assert len(rows) == len(set(rows))
    return {uuid for (uuid,) in rows}


@pytest.mark.parametrize("seed", range(6))
def test_load_by_load_and_all_at_once_leave_out_the_same_retries(
    models_built_again: CompiledModels, seed: int
) -> None:
    choose = random.Random(seed)
    connection = warehouse()
    everything: list[Event] = []
    for load_id in range(1, 6):
        events: list[Event] = [
            (
                uuid_of(f"{seed} {load_id} {index}"),
                choose.choice([None, "", "i1", "i2", "i3"]),
                choose.choice([None, " ", "d1", " d1", "d2"]),
                choose.choice([1, 2]),
                datetime(2026, 3, 1) + timedelta(days=choose.randint(0, 400)),  # noqa: DTZ001
                load_id,
            )
            for index in range(choose.randint(0, 8))
        ]
        everything += events
        if events:
            take_in(connection, models_built_again, events)
            assert counting(connection) == expected(everything)
    carried = connection.execute("from staging.stg_amplitude__retries order by all").fetchall()
    connection.execute("drop table staging.stg_amplitude__retries")
    models_built_again.run(connection, MODELS[:1])
    anew = connection.execute("from staging.stg_amplitude__retries order by all").fetchall()
    assert carried == anew


def test_an_earlier_upload_that_is_loaded_late_takes_the_place(
    models_built_again: CompiledModels,
) -> None:
    connection = warehouse()
    late = datetime(2026, 3, 9)  # noqa: DTZ001
    early = datetime(2025, 1, 1)  # noqa: DTZ001
    take_in(connection, models_built_again, [(uuid_of("b"), "i", "d", 1, late, 1)])
    take_in(connection, models_built_again, [(uuid_of("a"), "i", "d", 1, early, 2)])
    assert counting(connection) == {uuid_of("a")}
    assert connection.execute(
        "select cast(uuid as varchar), cast(first_uuid as varchar), copy_number"
        " from staging.stg_amplitude__retries"
    ).fetchall() == [(uuid_of("b"), uuid_of("a"), 2)]
