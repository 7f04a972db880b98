"""What becomes of a line: held against a plain reading of the same lines in Python."""

# DuckDB gives timestamps without a zone; they are UTC.
# ruff: noqa: DTZ001
import json
import math
import random
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import duckdb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from load.made import HOUR, NOW, empty_warehouse, event, line, lines, memory_warehouse
from relay import warehouse
from relay.load import event_queries, units
from relay.load.event_columns import COLUMNS
from relay.load.event_writer import Counts, EventWriter

COLUMN_LIST = ", ".join(f'"{name}"' for name in COLUMNS)


def write(connection: Any, text: bytes, *, load_id: int = 1, unit_bytes: int = 1 << 20) -> Counts:
    writer = EventWriter(connection, load_id, NOW)
    for unit in units.units_of([("x/a.json.gz", iter([text]))], unit_bytes=unit_bytes):
        writer.write(unit)
    writer.finish()
    return writer.counts


def stored(connection: Any) -> list[dict[str, Any]]:
    relation = connection.execute(
        f"select {COLUMN_LIST}, extra, line_number from raw.amplitude_events order by line_number"
    )
    names = [column[0] for column in relation.description]
    return [dict(zip(names, row, strict=True)) for row in relation.fetchall()]


def rejected(connection: Any) -> list[tuple[int, str, bytes]]:
    found: list[tuple[int, str, bytes]] = connection.execute(
        "select line_number, reason, content from raw.rejected_rows order by line_number"
    ).fetchall()
    return found


def test_a_whole_row_is_stored_as_it_stands() -> None:
    row = event(
        1,
        city="Pünë ☃",
        event_properties={"a": [1, {"b": None}], "é": "\u0000", "c": 1.5},
        paying=True,
        location_lat=18.520000000000003,
        session_id=-1,
        event_id=77800092,
        amplitude_id=9_223_372_036_854_775_807,
    )
    connection = empty_warehouse()
    assert write(connection, line(row)) == Counts(1, 1, 0, 0)
    (found,) = stored(connection)
    assert found["uuid"] == UUID(row["uuid"])
    assert found["city"] == "Pünë ☃"
    assert json.loads(found["event_properties"]) == row["event_properties"]
    assert (found["paying"], found["location_lat"]) == (True, 18.520000000000003)
    assert (found["session_id"], found["event_id"]) == (-1, 77800092)
    assert found["amplitude_id"] == 9_223_372_036_854_775_807
    assert found["server_upload_time"] == datetime(2026, 3, 1, 10, 0, 0, 1000)
    assert found["extra"] is None
    assert found["line_number"] == 1


@pytest.mark.parametrize(
    ("changed", "column", "value", "extra"),
    [
        ({"user_id": 5521}, "user_id", "5521", None),
        ({"user_id": 5521.0}, "user_id", "5521", None),
        ({"user_id": "5521.0"}, "user_id", "5521.0", None),
        ({"user_id": "true"}, "user_id", "true", None),
        ({"user_id": True}, "user_id", None, {"user_id": True}),
        ({"user_id": 5.5}, "user_id", None, {"user_id": 5.5}),
        ({"device_id": ["a"]}, "device_id", None, {"device_id": ["a"]}),
        ({"device_id": {"a": 1}}, "device_id", None, {"device_id": {"a": 1}}),
        ({"device_id": "[a"}, "device_id", "[a", None),
        ({"amplitude_id": "00812"}, "amplitude_id", 812, None),
        ({"amplitude_id": "812.0"}, "amplitude_id", 812, None),
        ({"amplitude_id": " 812\t"}, "amplitude_id", 812, None),
        ({"amplitude_id": -816}, "amplitude_id", None, {"amplitude_id": -816}),
        ({"amplitude_id": 0}, "amplitude_id", None, {"amplitude_id": 0}),
        ({"amplitude_id": 2**63}, "amplitude_id", None, {"amplitude_id": 2**63}),
        ({"app": 8.7}, "app", None, {"app": 8.7}),
        ({"app": "829528"}, "app", 829528, None),
        ({"app": True}, "app", None, {"app": True}),
        ({"event_id": "x"}, "event_id", None, {"event_id": "x"}),
        ({"event_id": ""}, "event_id", None, {"event_id": ""}),
        ({"paying": "true"}, "paying", True, None),
        ({"paying": "yes"}, "paying", None, {"paying": "yes"}),
        ({"paying": 1}, "paying", None, {"paying": 1}),
        ({"location_lat": "nan"}, "location_lat", None, {"location_lat": "nan"}),
        ({"location_lat": "18.5"}, "location_lat", 18.5, None),
        ({"event_time": "garbage"}, "event_time", None, {"event_time": "garbage"}),
        ({"event_time": "epoch"}, "event_time", None, {"event_time": "epoch"}),
        ({"event_time": 1772428440000}, "event_time", None, {"event_time": 1772428440000}),
        (
            {"event_time": "2026-03-02T05:14:09Z"},
            "event_time",
            datetime(2026, 3, 2, 5, 14, 9),
            None,
        ),
        (
            {"event_time": "2026-03-02 05:14:09+05:30"},
            "event_time",
            datetime(2026, 3, 1, 23, 44, 9),
            None,
        ),
        (
            {"server_upload_time": "2026-03-01T10:00:00.5"},
            "server_upload_time",
            datetime(2026, 3, 1, 10, 0, 0, 500000),
            None,
        ),
        ({"city": 5}, "city", "5", None),
        ({"event_properties": "text"}, "event_properties", '"text"', None),
        ({"followed_an_identify": None}, "city", None, {"followed_an_identify": None}),
        ({"new.key": [1]}, "city", None, {"new.key": [1]}),
        ({"UUID": "x", "City": "y"}, "city", None, {"UUID": "x", "City": "y"}),
        ({'a"b\\c': 1}, "city", None, {'a"b\\c': 1}),
    ],
)
def test_what_a_column_cannot_hold_is_kept_in_extra(
    changed: dict[str, Any], column: str, value: Any, extra: Any
) -> None:
    connection = empty_warehouse()
    assert write(connection, line(event(1, **changed))) == Counts(1, 1, 0, 0)
    (found,) = stored(connection)
    assert found[column] == value
    assert (None if found["extra"] is None else json.loads(found["extra"])) == extra


def test_the_second_value_of_a_key_is_kept_beside_the_first() -> None:
    text = line(event(1, city="Pune"))[:-2] + b',"city":"Goa","city":null,"x":1,"x":2}\n'
    connection = empty_warehouse()
    assert write(connection, text) == Counts(1, 1, 0, 0)
    (found,) = stored(connection)
    assert found["city"] == "Pune"
    assert json.loads(found["extra"]) == {"city#2": "Goa", "city#3": None, "x": 1, "x#2": 2}


def test_a_missing_key_is_no_reason_to_reject() -> None:
    row = event(1)
    for name in ("city", "paying", "plan", "user_id"):
        del row[name]
    connection = empty_warehouse()
    assert write(connection, line(row)) == Counts(1, 1, 0, 0)
    (found,) = stored(connection)
    assert (found["city"], found["extra"]) == (None, None)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"not json\n", "is not JSON"),
        (b'{"uuid":"7c2f2b0a-15f6-11f1-9f53-0242ac120002"\n', "is not JSON"),
        (b"[1]\n", "is JSON, but no object"),
        (b"null\n", "is JSON, but no object"),
        (b"\xff\xfe{}\n", "is not UTF-8 text"),
        (b"\x00\x00\n", "is not JSON"),
        (b"{}\n", "has no uuid"),
        (b'{"uuid":null}\n', "its uuid is none"),
        (b'{"uuid":"x"}\n', "its uuid is none"),
        (b'{"uuid":5}\n', "its uuid is none"),
        (
            b'{"uuid":"7c2f2b0a-15f6-11f1-9f53-0242ac120002"}\n',
            "has no server_upload_time",
        ),
        (line(event(9, server_upload_time="garbage")), "its server_upload_time cannot be read"),
        (
            line(event(9, server_upload_time="2026-13-01 00:00:00.000000")),
            "its server_upload_time cannot be read",
        ),
        (line(event(9, server_upload_time=None)), "its server_upload_time cannot be read"),
        (line(event(9))[:-1] + b" trailing\n", "is not JSON"),
        (line(event(9))[:-1] + line(event(8)), "is not JSON"),
    ],
)
def test_a_line_that_cannot_be_an_event_is_kept_with_its_bytes(text: bytes, reason: str) -> None:
    connection = empty_warehouse()
    before, after = line(event(1)), line(event(2))
    assert write(connection, before + text + after) == Counts(3, 2, 0, 1)
    assert rejected(connection) == [(2, reason, text.removesuffix(b"\n"))]


def test_blank_lines_are_no_rows_but_count_as_lines() -> None:
    connection = empty_warehouse()
    text = b"\n" + line(event(1)) + b"  \t\r\n\n" + b" " * 100 + b"\n" + b"bad\n"
    assert write(connection, text) == Counts(2, 1, 0, 1)
    assert [row["line_number"] for row in stored(connection)] == [2]
    assert rejected(connection) == [(6, "is not JSON", b"bad")]


def test_carriage_returns_a_missing_last_line_feed_and_long_lines() -> None:
    long = event(3, event_properties={"long": "x" * 1_200_000})
    text = line(event(1))[:-1] + b"\r\n" + line(long) + line(event(2))[:-1]
    connection = empty_warehouse()
    assert write(connection, text, unit_bytes=1 << 18) == Counts(3, 3, 0, 0)
    assert [row["line_number"] for row in stored(connection)] == [1, 2, 3]


def test_deep_nesting_is_read_or_rejected_and_nothing_falls_over() -> None:
    deep = b'{"a":' * 50_000 + b"1" + b"}" * 50_000
    text = line(event(1))[:-2] + b',"deep":' + deep + b"}\n" + b"[" * 100_000 + b"\n"
    connection = empty_warehouse()
    counts = write(connection, text + line(event(2)), unit_bytes=1 << 22)
    assert counts.rows == 3
    assert counts.loaded + counts.rejected == 3
    assert counts.loaded >= 1


def test_a_line_that_is_too_long_is_rejected_with_its_start() -> None:
    connection = empty_warehouse()
    writer = EventWriter(connection, 1, NOW)
    long = line(event(5, city="x" * 300_000))
    text = line(event(1)) + long + line(event(2))
    pieces = (text[start : start + 9_000] for start in range(0, len(text), 9_000))
    for unit in units.units_of([("a", pieces)], unit_bytes=50_000, longest_line=100_000):
        writer.write(unit)
    writer.finish()
    assert writer.counts == Counts(3, 2, 0, 1)
    ((number, reason, content),) = rejected(connection)
    assert (number, content) == (2, long[: 64 * 1024])
    assert "is longer than" in reason


def test_a_garbage_time_does_not_hide_the_event_behind_it() -> None:
    good, bad = event(1), event(1, server_upload_time="epoch")
    connection = empty_warehouse()
    assert write(connection, line(bad) + line(good)) == Counts(2, 1, 0, 1)


def test_equal_uuids_are_one_event_in_any_unit_and_any_form() -> None:
    odd = event(1, new_key=1)
    text = line(odd) + line(event(1)) + line(event(2)) + line(event(2)) + line(odd)
    for unit_bytes in (1 << 20, 3000):
        connection = empty_warehouse()
        assert write(connection, text, unit_bytes=unit_bytes) == Counts(5, 2, 3, 0)
        assert write(connection, text, load_id=2, unit_bytes=unit_bytes) == Counts(5, 0, 5, 0)


def test_an_old_event_is_found_wherever_it_was_stored() -> None:
    connection = empty_warehouse()
    old = [event(n, at=datetime(2025, 1, 1, n % 24, tzinfo=UTC)) for n in range(200)]
    assert write(connection, lines(old)).loaded == 200
    assert write(connection, lines(event(1000 + n) for n in range(200)), load_id=2).loaded == 200
    assert write(connection, lines(old[::-1]), load_id=3) == Counts(200, 0, 200, 0)


def test_many_lines_of_another_shape_are_read_in_one_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [event(n, followed_an_identify=n % 2 == 0) | {"a-b c": {"n": n}} for n in range(300)]
    for row in rows[::3]:
        del row["city"]
    connection = empty_warehouse()
    monkeypatch.setattr(event_queries, "EXAMINED", "no line may have to be examined")
    assert write(connection, lines(rows)) == Counts(300, 300, 0, 0)
    for row, found in zip(rows, stored(connection), strict=True):
        expected = {key: row[key] for key in ("followed_an_identify", "a-b c")}
        assert json.loads(found["extra"]) == expected


def test_rejected_lines_of_a_member_are_kept_once_however_often_it_is_exported() -> None:
    connection = empty_warehouse()
    assert write(connection, b"bad\nbad\nworse\n") == Counts(3, 0, 0, 3)
    assert write(connection, line(event(1)) + b"bad\nbad\nbad\n", load_id=2) == Counts(4, 1, 0, 3)
    found = rejected(connection)
    assert sorted(content for _, _, content in found) == [b"bad", b"bad", b"bad", b"worse"]


def test_a_transaction_over_many_units_holds_few_of_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    buffers: list[units._Buffers] = []

    class Noted(units._Buffers):
        def __init__(self, size: int) -> None:
            super().__init__(size)
            buffers.append(self)

    monkeypatch.setattr(units, "_Buffers", Noted)
    connection = duckdb.connect(str(tmp_path / "events.duckdb"))
    connection.execute(Path(warehouse.__file__).with_name("raw.sql").read_text(encoding="utf-8"))
    text = lines(event(n, odd=n % 7 == 0) for n in range(3_000)) + b"bad\n"
    with warehouse.transaction(connection):
        counts = write(connection, text, unit_bytes=1 << 16)
        # Temporary tables of each unit would stay until the transaction ends.
        tables = connection.execute(
            "select table_name from duckdb_tables() where temporary order by 1"
        ).fetchall()
    assert counts == Counts(3_001, 3_000, 0, 1)
    assert len(text) > 50 * (1 << 16)
    assert sum(len(each._all) for each in buffers) <= 3
    assert [name for (name,) in tables] == ["event_hours", "rejected_events"]


# --- against a model ------------------------------------------------------------------------------

_INTEGERS = st.one_of(st.integers(-(2**70), 2**70), st.integers(-10, 10))
_SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    _INTEGERS,
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(st.characters(codec="utf-8"), max_size=12),
    st.sampled_from(
        ["true", "5521.0", "-7", "1e3", "", " ", "812 ", "00", "2026-03-02 05:14:09.120000"]
    ),
)
_VALUES = st.one_of(
    _SCALARS,
    st.lists(_SCALARS, max_size=2),
    st.dictionaries(st.text(max_size=3), _SCALARS, max_size=2),
)


def held(kind: str, value: Any) -> tuple[bool, Any]:
    """Whether a column of this kind holds a JSON value, and as what."""
    if value is None:
        return True, None
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    # Beyond 64 bits the reader has a float.
    digits = str(value) if isinstance(value, int) and is_number else None
    if digits and not -(2**63) <= value < 2**64:
        value = float(value)
    is_whole = isinstance(value, float) and value == math.trunc(value) and abs(value) < 2**53
    whole = int(value) if is_whole else None
    if kind == "user":
        if isinstance(value, str):
            return True, value
        text = digits or (None if whole is None else str(whole))
        return text is not None, text
    if kind == "amplitude":
        stripped = re.compile(
            "[\x00-\x20\x7f-\xa0\u1680\u2000-\u200d\u2028\u2029\u202f\u205f\u2060\u3000\ufeff]+"
        )
        text = value if isinstance(value, str) else None
        if is_number and (isinstance(value, int) or whole is not None):
            text = str(value if isinstance(value, int) else whole)
        if text is None:
            return False, None
        text = re.sub(rf"^{stripped.pattern}|{stripped.pattern}\Z", "", text)
        match = re.fullmatch(r"0*([0-9]{1,19})(\.0*)?", text)
        number = int(match[1]) if match else 0
        return (True, number) if 0 < number < 2**63 else (False, None)
    if kind == "integer":
        if isinstance(value, str) and re.fullmatch(r"-?[0-9]+", value):
            value = int(value)
        elif not is_number:
            return False, None
        if isinstance(value, float):
            value = whole
        return (True, value) if value is not None and -(2**63) <= value < 2**63 else (False, None)
    if kind == "flag":
        if isinstance(value, bool):
            return True, value
        return (True, value == "true") if value in ("true", "false") else (False, None)
    raise AssertionError(kind)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(
        st.fixed_dictionaries(
            {},
            optional={
                "user_id": _VALUES,
                "device_id": _VALUES,
                "amplitude_id": _VALUES,
                "session_id": _VALUES,
                "app": _VALUES,
                "paying": _VALUES,
            },
        ),
        min_size=1,
        max_size=40,
    )
)
def test_each_value_is_in_its_column_or_in_extra(changes: list[dict[str, Any]]) -> None:
    connection = empty_warehouse()
    rows = [event(number, **changed) for number, changed in enumerate(changes)]
    assert write(connection, lines(rows)).loaded == len(rows)
    for changed, found in zip(changes, stored(connection), strict=True):
        extra = json.loads(found["extra"] or "{}")
        expected_extra = {}
        for name, value in changed.items():
            is_held, column = held(COLUMNS[name], value)
            assert found[name] == column, (name, value)
            if not is_held:
                expected_extra[name] = value
        assert extra.keys() == expected_extra.keys()
        for name, value in expected_extra.items():
            assert extra[name] == pytest.approx(value) if isinstance(value, float) else True


WHOLE, CUT = memory_warehouse(), memory_warehouse()


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32), st.integers(200, 40_000))
def test_counts_do_not_depend_on_where_units_are_cut(seed: int, unit_bytes: int) -> None:
    chance = random.Random(seed)
    pieces = []
    for _ in range(chance.randrange(1, 40)):
        kind = chance.random()
        number = chance.randrange(20)
        if kind < 0.6:
            pieces.append(line(event(number)))
        elif kind < 0.75:
            pieces.append(line(event(number, odd=1)))
        elif kind < 0.85:
            pieces.append(b"\n")
        else:
            pieces.append(
                bytes(chance.randrange(256) for _ in range(9)).replace(b"\n", b"") + b"\n"
            )
    text = b"".join(pieces)
    whole, cut = WHOLE, CUT
    for connection in (whole, cut):
        connection.execute("delete from raw.amplitude_events")
        connection.execute("delete from raw.rejected_rows")
    assert write(whole, text) == write(cut, text, unit_bytes=unit_bytes)
    names = "select uuid from raw.amplitude_events order by 1"
    assert whole.execute(names).fetchall() == cut.execute(names).fetchall()
    assert sorted(rejected(whole)) == sorted(rejected(cut))


def test_hours_count_every_line_that_names_one() -> None:
    connection = empty_warehouse()
    writer = EventWriter(connection, 1, NOW)
    later = HOUR.replace(hour=12)
    text = lines([event(1), event(1), event(2, odd=1), event(3, at=later)]) + b"bad\n"
    for unit in units.units_of([("a", iter([text]))]):
        writer.write(unit)
    assert writer.hours() == {HOUR: 3, later: 1}
