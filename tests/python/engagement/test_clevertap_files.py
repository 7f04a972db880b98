"""CleverTap export files: one name a file, JSON or CSV, as many events as the fullest one has."""

import gzip
import json
import re
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engagement.world import PROJECT, raw_warehouse
from relay.errors import InputFileError
from relay.load.clevertap_events import Load, load_clevertap_file, name_key
from relay.load.result import LoadResult

Connection = duckdb.DuckDBPyConnection
AT = datetime(2026, 3, 2, 12, tzinfo=UTC)


@pytest.fixture
def connection() -> Connection:
    return raw_warehouse()


def load(
    connection: Connection,
    path: Path,
    content: str | bytes,
    *,
    number: int = 1,
    origin: str = "file",
    zone: str = "Asia/Kolkata",
) -> LoadResult:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return load_clevertap_file(
        connection,
        path,
        source_file=f"c/{path.name}",
        load=Load(number, AT, zone, origin),
    )


def row(user: str = "ann-1", ts: object = 20260301120000, **properties: object) -> dict[str, Any]:
    return {"profile": {"identity": user}, "ts": ts, "eventProps": properties}


def file_of(*rows: object, name: str | None = "Notification Viewed") -> str:
    lines = [json.dumps(one, ensure_ascii=False) for one in rows]
    return "\n".join([*([] if name is None else [name]), *lines]) + "\n"


def stored(connection: Connection, columns: str) -> list[Any]:
    rows = connection.execute(f"select {columns} from raw.clevertap_events order by all")
    return [one[0] if len(one) == 1 else one for one in rows.fetchall()]


def test_the_first_line_names_the_events(connection: Connection, tmp_path: Path) -> None:
    packed = gzip.compress(file_of(row(), row("bob-2")).encode())
    assert load(connection, tmp_path / "f.json.gz", packed).loaded == 2
    named = {**row("cy-3"), "eventName": "UTM Visited"}
    load(connection, tmp_path / "g.json", file_of(named, name=None))
    load(connection, tmp_path / "h.json", file_of(row("dee-4"), name='"Reply Sent"'))
    assert stored(connection, "identity, event_name") == [
        ("ann-1", "Notification Viewed"),
        ("bob-2", "Notification Viewed"),
        ("cy-3", "UTM Visited"),
        ("dee-4", "Reply Sent"),
    ]


def test_equal_lines_of_one_file_are_as_many_events(connection: Connection, tmp_path: Path) -> None:
    load(connection, tmp_path / "f.json", file_of(row(), row(), row("bob-2")))
    overlapping = load(connection, tmp_path / "g.json", file_of(row(), row("bob-2"), row("cy-3")))
    assert (overlapping.loaded, overlapping.duplicates) == (1, 2)
    fuller = load(connection, tmp_path / "h.json", file_of(row(), row(), row()), number=2)
    assert (fuller.loaded, fuller.duplicates) == (1, 2)
    assert Counter(stored(connection, "identity")) == {"ann-1": 3, "bob-2": 1, "cy-3": 1}
    assert stored(connection, "load_id, occurrence")[-1] == (2, 3)


def test_loading_a_file_again_changes_nothing(connection: Connection, tmp_path: Path) -> None:
    content = file_of(row(), row(), row(ts=5))
    load(connection, tmp_path / "f.json", content)
    before = stored(connection, "*")
    again = load(connection, tmp_path / "f.json", content, number=2)
    assert (again.loaded, again.duplicates, again.rejected) == (0, 2, 1)
    assert stored(connection, "*") == before
    assert connection.execute("select count(*) from raw.rejected_rows").fetchall() == [(1,)]


@pytest.mark.parametrize(
    ("other", "is_same"),
    [
        (row(b=2, a=1), True),  # another order of the properties
        (row(a="1", b=2.0), False),
        (row(a="1", b="2"), True),  # the types that CSV does not keep
        ({**row(a=1, b=2), "profile": {"identity": "ann-1", "email": "new@mail"}}, True),
        ({**row(a=1, b=2), "profile": {"objectId": "ann-1"}}, False),
        (row(a=1, b=2, c=None), True),
        (row(a=1, b=3), False),
        (row("ANN-1", a=1, b=2), False),
        (row(ts=20260301120001, a=1, b=2), False),
        (row(ts="20260301120000", a=1, b=2), True),
    ],
)
def test_an_event_is_known_by_name_user_time_and_properties(
    connection: Connection, tmp_path: Path, other: dict[str, Any], is_same: bool
) -> None:
    load(connection, tmp_path / "f.json", file_of(row(a=1, b=2)))
    again = load(connection, tmp_path / "g.json", file_of(other, name="notification_VIEWED"))
    assert (again.duplicates == 1) == is_same


def test_csv_rows_are_the_same_events(connection: Connection, tmp_path: Path) -> None:
    load(connection, tmp_path / "f.json", file_of(row(Variant="B", note='say "hi"\nthere')))
    csv = (
        "Notification Viewed\r\n"
        "ts,eventName,profile.identity,profile.objectId,Variant,eventProps.note,deviceInfo.make\r\n"
        '20260301120000,,ann-1,,B,"say ""hi""\nthere",Acme\r\n'
        "20260301120000,,,__g77,,,\r\n"
    )
    result = load(connection, tmp_path / "g.csv", csv)
    assert (result.loaded, result.duplicates, result.rejected) == (1, 1, 0)
    assert stored(connection, "identity, object_id") == [("ann-1", None), (None, "__g77")]


def test_csv_that_is_none_is_kept_by_line(connection: Connection, tmp_path: Path) -> None:
    csv = b'Reply Sent\nts,identity\n20260301120000,a\n"x"y,b\n20260301120000\n\xff,c\n,d\n'
    result = load(connection, tmp_path / "f.csv", csv)
    assert (result.loaded, result.rejected) == (1, 4)
    rows = connection.execute(
        "select line_number, content from raw.rejected_rows order by all"
    ).fetchall()
    assert rows == [(4, b'"x"y,b'), (5, b"20260301120000"), (6, b"\xff,c"), (7, b",d")]
    with pytest.raises(InputFileError, match=r"g\.csv, line 2: .*header with a column ts"):
        load(connection, tmp_path / "g.csv", "Reply Sent\nwhen,identity\n1,a\n")


def test_what_cannot_be_read_is_kept_with_its_reason(
    connection: Connection, tmp_path: Path
) -> None:
    content = file_of(row(), row(ts="noon"), row(ts=20261399000000)).encode() + b"{\n[1]\n\xff\n"
    assert load(connection, tmp_path / "f.json", content).rejected == 5
    nameless = load(connection, tmp_path / "g.json", file_of(row("bob-2"), name=None))
    assert nameless.rejected == 1
    reasons = connection.execute(
        "select source_file, line_number, reason from raw.rejected_rows order by all"
    ).fetchall()
    assert [reason.split(",")[0] for _, _, reason in reasons] == [
        "expected ts",
        "expected ts",
        "is not JSON",
        "expected a JSON object",
        "is not UTF-8 text",
        "expected the name of the event",
    ]


def test_the_right_zone_replaces_a_wrong_one(connection: Connection, tmp_path: Path) -> None:
    content = file_of(row())
    load(connection, tmp_path / "f.json", content, zone="UTC")
    load(connection, tmp_path / "f.json", content, zone="America/New_York")
    assert stored(connection, "time_zone") == ["America/New_York"]


def test_a_file_is_better_evidence_than_the_api(connection: Connection, tmp_path: Path) -> None:
    load(connection, tmp_path / "a.json", file_of(row()), origin="api")
    connection.execute("update raw.clevertap_events set is_withdrawn = true")
    load(connection, tmp_path / "f.json", file_of(row()), number=2)
    assert stored(connection, "origin, is_withdrawn, source_file, load_id") == [
        ("file", False, "c/f.json", 1)
    ]


def test_names_are_compared_by_one_rule_in_loader_and_models() -> None:
    macro = (PROJECT / "macros" / "event_name_key.sql").read_text(encoding="utf-8")
    body = re.search(r"-%}\s*(.*?)\s*{%- endmacro", macro, re.DOTALL)
    assert body is not None
    assert body[1].replace("{{ value }}", "x") == name_key("x")


@settings(deadline=None, max_examples=30)
@given(
    files=st.lists(st.lists(st.sampled_from("abc"), max_size=6), min_size=1, max_size=5),
    seed=st.randoms(use_true_random=False),
)
def test_multiplicity_is_the_largest_of_any_file(
    tmp_path_factory: Any, files: list[list[str]], seed: Any
) -> None:
    connection = raw_warehouse()
    folder = tmp_path_factory.mktemp("files")
    order = [*enumerate(files), *enumerate(files)]
    seed.shuffle(order)
    for number, (place, users) in enumerate(order, start=1):
        content = file_of(*(row(user) for user in users))
        load(connection, folder / f"{place}.json", content, number=number)
    fullest: Counter[str] = Counter()
    for users in files:
        fullest |= Counter(users)
    assert Counter(stored(connection, "identity")) == fullest
    assert len(set(stored(connection, "event_key, occurrence"))) == fullest.total()
