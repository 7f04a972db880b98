"""MoEngage's files: both shapes, each event once, nothing lost quietly."""

import gzip
import json
import random
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engagement.world import moengage_event, raw_warehouse
from relay.errors import InputFileError
from relay.load.moengage_events import load_moengage_files
from relay.load.result import LoadResult

AT = datetime(2026, 3, 2, 12, tzinfo=UTC)
Connection = duckdb.DuckDBPyConnection


@pytest.fixture
def connection() -> Connection:
    return raw_warehouse()


def load(connection: Connection, path: Path, content: bytes, *, number: int = 1) -> LoadResult:
    path.write_bytes(content)
    return load_moengage_files(connection, [(path, f"m/{path.name}")], load_id=number, loaded_at=AT)


def event(uuid: str, **keys: Any) -> dict[str, Any]:
    return moengage_event({"event_uuid": uuid, **keys})


def body(*events: object) -> bytes:
    return json.dumps(
        {"app_name": "Shop", "source": "MOENGAGE", "moe_request_id": "r1", "events": events}
    ).encode()


def line(one: object) -> bytes:
    return json.dumps({"app_name": "Shop", "export_hour": "13", "event": one}).encode()


def stored(connection: Connection, columns: str = "event_uuid") -> list[Any]:
    rows = connection.execute(f"select {columns} from raw.moengage_events order by event_uuid")
    return [row[0] if len(row) == 1 else row for row in rows.fetchall()]


def rejected(connection: Connection) -> list[tuple[int, str, bytes]]:
    return connection.execute(
        "select line_number, reason, content from raw.rejected_rows order by all"
    ).fetchall()


def test_both_shapes_stand_in_one_file(connection: Connection, tmp_path: Path) -> None:
    content = body(event("a"), event("b")) + b"\r\n" + line(event("c")) + b"\n\n"
    result = load(connection, tmp_path / "f.json.gz", gzip.compress(content))
    assert (result.rows, result.loaded, result.rejected) == (3, 3, 0)
    assert stored(connection) == ["a", "b", "c"]
    assert stored(connection, "json_extract_string(envelope, '$.moe_request_id')")[0] == "r1"
    assert stored(connection, "json_extract_string(envelope, '$.export_hour')")[2] == "13"


def test_a_body_laid_out_over_lines_is_one_document(connection: Connection, tmp_path: Path) -> None:
    laid_out = json.dumps({"events": [event("a"), event("b")]}, indent=2).encode()
    assert load(connection, tmp_path / "f.json", b"\xef\xbb\xbf" + laid_out).loaded == 2


def test_an_event_counts_once_however_often_it_comes(
    connection: Connection, tmp_path: Path
) -> None:
    twice = body(event("a"), event("a")) + b"\n" + line(event("a"))
    first = load(connection, tmp_path / "f.json", twice)
    again = load(connection, tmp_path / "g.json", body(event("b"), event("a")), number=2)
    assert (first.loaded, first.duplicates) == (1, 2)
    assert (again.loaded, again.duplicates) == (1, 1)
    assert stored(connection, "event_uuid, load_id") == [("a", 1), ("b", 2)]


def test_an_event_that_comes_again_with_another_time_is_the_same(
    connection: Connection, tmp_path: Path
) -> None:
    load(connection, tmp_path / "f.json", line(event("a", event_time=1772366400)))
    again = load(connection, tmp_path / "g.json", line(event("a", event_time=1772366401)))
    assert (again.loaded, again.duplicates) == (0, 1)


def test_files_that_are_loaded_together_are_counted_apart(
    connection: Connection, tmp_path: Path
) -> None:
    files = []
    for name, content in {
        "a.json": body(event("1"), event("2")),
        "b.json": body(event("2"), event("3"), {}) + b"\nnonsense",
        "c.json": b"",
    }.items():
        (tmp_path / name).write_bytes(content)
        files.append((tmp_path / name, f"m/{name}"))
    result = load_moengage_files(connection, files, load_id=1, loaded_at=AT)
    assert (result.rows, result.loaded, result.duplicates, result.rejected) == (6, 3, 1, 2)
    assert connection.execute(
        "select source_file, row_count, loaded_count, duplicate_count, rejected_count"
        " from raw.moengage_files order by all"
    ).fetchall() == [("m/a.json", 2, 2, 0, 0), ("m/b.json", 4, 1, 1, 2), ("m/c.json", 0, 0, 0, 0)]
    assert connection.execute(
        "select source_file, line_number from raw.rejected_rows order by all"
    ).fetchall() == [("m/b.json", 1), ("m/b.json", 2)]


def test_loading_a_file_again_changes_nothing(connection: Connection, tmp_path: Path) -> None:
    content = body(event("a"), {"no": "uuid"}) + b"\nnonsense\n"
    load(connection, tmp_path / "f.json", content)
    before = stored(connection, "*")
    again = load(connection, tmp_path / "f.json", content, number=2)
    assert stored(connection, "*") == before
    assert (again.loaded, again.duplicates, again.rejected) == (0, 1, 2)
    assert len(rejected(connection)) == 2
    assert connection.execute("select count(*) from raw.moengage_files").fetchall() == [(1,)]


def test_what_cannot_be_read_is_kept_with_its_place_and_bytes(
    connection: Connection, tmp_path: Path
) -> None:
    content = b"\n".join(
        [line(event("a")), b"\xff\xfe", b'{"cut":', b"[1]", b"{}", body({"x": 1}, 7), line({})]
    )
    result = load(connection, tmp_path / "f.json", content)
    assert (result.loaded, result.rejected) == (1, 7)
    found = rejected(connection)
    assert [(number, content) for number, _, content in found] == [
        (2, b"\xff\xfe"),
        (3, b'{"cut":'),
        (4, b"[1]"),
        (5, b"{}"),
        (6, b'{"x":1}'),
        (6, b"7"),
        (7, b"{}"),
    ]
    assert [reason.split(":")[0] for _, reason, _ in found][:4] == [
        "is not UTF-8 text",
        "is not JSON",
        "is neither a Streams body (list `events`) nor an export line (object `event`)",
        "is neither a Streams body (list `events`) nor an export line (object `event`)",
    ]


@pytest.mark.parametrize(
    ("given_id", "kept"),
    [
        ("5521", "5521"),
        (5521, "5521"),
        (5521.0, "5521"),
        (123456789012345678901234567890, "123456789012345678901234567890"),
        (1.5, None),
        (True, None),
        ([1], None),
        (None, None),
    ],
)
def test_an_identifier_is_read_by_its_json_type(
    connection: Connection, tmp_path: Path, given_id: object, kept: str | None
) -> None:
    one = event("a", uid=given_id, user_attributes={"moe_anonymous_id": given_id})
    load(connection, tmp_path / "f.json", line(one))
    assert stored(connection, "uid, moe_anonymous_id") == [(kept, kept)]
    extra = stored(connection, "extra")[0]
    # What a column cannot hold stays, under its own key.
    assert (extra is not None and "uid" in json.loads(extra)) == (kept is None)


@pytest.mark.parametrize(
    ("given_time", "kept"),
    [
        (1772366400, datetime(2026, 3, 1, 12)),  # noqa: DTZ001
        ("1772366400", datetime(2026, 3, 1, 12)),  # noqa: DTZ001
        (1772366400.25, datetime(2026, 3, 1, 12, 0, 0, 250_000)),  # noqa: DTZ001
        ("noon", None),
        (10**30, None),
        (None, None),
    ],
)
def test_a_time_is_epoch_seconds_or_missing(
    connection: Connection, tmp_path: Path, given_time: object, kept: datetime | None
) -> None:
    load(connection, tmp_path / "f.json", line(event("a", event_time=given_time)))
    assert stored(connection, "event_time") == [kept]
    # It is known again without a time too.
    again = load(connection, tmp_path / "g.json", line(event("a", event_time=given_time)))
    assert (again.loaded, again.duplicates) == (0, 1)


def test_keys_nobody_knows_are_kept(connection: Connection, tmp_path: Path) -> None:
    load(connection, tmp_path / "f.json", line(event("a", email_address="x@y.z", Uid=1)))
    assert json.loads(stored(connection, "extra")[0]) == {"email_address": "x@y.z", "Uid": 1}


def test_a_file_cut_off_is_refused_by_name(connection: Connection, tmp_path: Path) -> None:
    noise = random.Random(7).randbytes(40_000).hex()
    packed = gzip.compress(line(event("a", event_attributes={"noise": noise})))
    for bad in (packed[:-9], packed[:200], packed[:-8] + b"\0" * 8):
        with pytest.raises(InputFileError, match=r"f\.json\.gz"):
            load(connection, tmp_path / "f.json.gz", bad)
    for bad, what in ((b"PK\x03\x04zip", "zip"), (b"PAR1", "Parquet"), (b"<Event>", "XML")):
        with pytest.raises(InputFileError, match=what):
            load(connection, tmp_path / "f", bad)


@settings(deadline=None, max_examples=30)
@given(
    st.lists(
        st.one_of(
            st.binary(max_size=30),
            st.sampled_from([b"{}", b'{"events":[]}', b'{"event":{"event_uuid":"u"}}', b"\0"]),
            st.integers(0, 5).map(lambda n: line(event(f"u{n}"))),
        ),
        max_size=12,
    )
)
def test_every_line_is_accounted_for(tmp_path_factory: Any, lines: list[bytes]) -> None:
    content = b"\n".join(part for one in lines for part in one.split(b"\n"))
    if content[:8].lstrip()[:4] in {b"PK\x03\x04", b"PAR1"} or content.lstrip()[:1] == b"<":
        return
    if content[:2] == b"\x1f\x8b":
        return
    connection = raw_warehouse()
    result = load(connection, tmp_path_factory.mktemp("lines") / "f.txt", content)
    written = [one for one in content.removeprefix(b"\xef\xbb\xbf").split(b"\n") if one.strip()]
    empty_lists = sum(one.strip() == b'{"events":[]}' for one in written)
    assert result.loaded + result.duplicates + result.rejected == result.rows
    assert result.rows == len(written) - empty_lists
    assert len(stored(connection)) == result.loaded == len(set(stored(connection)))
