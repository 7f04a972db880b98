"""Cutting and writing requests, against a plain model, over random records and limits."""

import random
from pathlib import Path

import duckdb
import pyarrow.parquet
import pytest

from relay.errors import PlanError
from relay.plan.requests import ROWS_A_BATCH, Limits, cut_requests, write_bodies, write_rows

Row = tuple[int, int, str, str]  # position, phase, record, prefix


def _payload(rows: list[Row]) -> duckdb.DuckDBPyConnection:
    """The rows as a payload table, stored in the order given; every body ends in `]}`."""
    connection = duckdb.connect()
    connection.execute(
        "create table payload (position bigint, phase integer, record varchar, body_prefix varchar)"
    )
    for row in rows:
        connection.execute("insert into payload values (?, ?, ?, ?)", list(row))
    connection.execute(
        "create table rows as select *, ']}' as body_suffix, 'change' || position as change_id,"
        " 'added' as action, 'entered' as reason, 'identity' as key_type,"
        " 'key' || position as key_value, 'key' || position as match_key, 'Cart' as cohort_name,"
        " 'hash' as payload_hash, ['p' || position] as person_ids, ['a'] as anchors from payload"
    )
    return connection


def _rows(rng: random.Random, count: int) -> list[Row]:
    removals = rng.randrange(count + 1)
    renamed = rng.randrange(removals + 1)
    return [
        (
            position,
            1 if position <= removals else 2,
            '"' + rng.choice("aø🛒") * rng.randrange(30) + '"',
            '{"old":[' if position <= renamed else '{"d":[',
        )
        for position in range(1, count + 1)
    ]


def _bodies(rows: list[Row], limits: Limits) -> list[list[Row]]:
    """The plain rule: a row goes into the open request if it may, else it opens the next."""
    requests: list[list[Row]] = []
    for row in rows:
        candidate = [*requests[-1], row] if requests else [row]
        size = len(_text(candidate).encode())
        if (
            not requests
            or candidate[0][1:4:2] != row[1:4:2]
            or len(candidate) > (limits.max_records or 10**9)
            or size > (limits.max_bytes or 10**9)
        ):
            requests.append([row])
        else:
            requests[-1].append(row)
    return requests


def _text(request: list[Row]) -> str:
    return request[0][3] + ",".join(row[2] for row in request) + "]}"


@pytest.mark.parametrize("seed", range(20))
def test_requests_are_as_full_as_the_limits_allow(seed: int, tmp_path: Path) -> None:
    rng = random.Random(seed)
    rows = _rows(rng, rng.randrange(1, 60))
    limits = Limits(rng.choice([None, 1, 3, 7]), rng.choice([None, 140, 200, 400]))
    stored = rows if rng.random() < 0.5 else rng.sample(rows, len(rows))
    connection = _payload(stored)
    cut = cut_requests(connection, "rows", limits)
    path = tmp_path / "requests.ndjson"
    written = write_bodies(connection, cut, path)
    expected = _bodies(rows, limits)
    assert path.read_text("utf-8") == "".join(f"{_text(request)}\n" for request in expected)
    assert written == len(expected)
    assert write_rows(connection, cut, tmp_path / "rows.parquet") == len(rows)
    places = pyarrow.parquet.read_table(tmp_path / "rows.parquet").to_pylist()
    assert [(row["change_id"], row["request"], row["position"]) for row in places] == [
        (f"change{row[0]}", number, place)
        for number, request in enumerate(expected, start=1)
        for place, row in enumerate(request)
    ]


@pytest.mark.parametrize("is_sorted", [True, False])
def test_requests_go_on_over_batches(is_sorted: bool, tmp_path: Path) -> None:
    connection = _payload([])
    count = 2 * ROWS_A_BATCH + 77
    connection.execute(
        "insert into rows by name select number as position, if(number < 25000, 1, 2) as phase,"
        " number::varchar as record, '{\"d\":[' as body_prefix, ']}' as body_suffix"
        f" from range(1, {count} + 1) as numbers(number)"
        f" order by {'number' if is_sorted else 'hash(number)'}"
    )
    cut = cut_requests(connection, "rows", Limits(9_999, None))
    assert (cut.order == "") is is_sorted
    assert write_bodies(connection, cut, tmp_path / "requests.ndjson") == len(cut.sizes or ())
    bodies = (tmp_path / "requests.ndjson").read_text("utf-8").splitlines()
    found = [body.removeprefix('{"d":[').removesuffix("]}").split(",") for body in bodies]
    assert [len(records) for records in found] == [9_999, 9_999, 5_001, 9_999, 5_079]
    assert [record for records in found for record in records] == [
        str(number) for number in range(1, count + 1)
    ]


def test_rows_that_are_not_sent_stand_in_request_0(tmp_path: Path) -> None:
    connection = _payload([(8, 2, '"b"', "["), (3, 2, '"a"', "[")])
    cut = cut_requests(connection, "rows", Limits(1, 1), sends=False)
    assert write_rows(connection, cut, tmp_path / "rows.parquet") == 2
    table = pyarrow.parquet.read_table(tmp_path / "rows.parquet")
    places = [(row["change_id"], row["request"], row["position"]) for row in table.to_pylist()]
    assert places == [("change3", 0, 0), ("change8", 0, 1)]


def test_no_rows_give_empty_files(tmp_path: Path) -> None:
    connection = _payload([])
    cut = cut_requests(connection, "rows", Limits(10, 100))
    assert write_bodies(connection, cut, tmp_path / "requests.ndjson") == 0
    assert (tmp_path / "requests.ndjson").read_bytes() == b""
    assert write_rows(connection, cut, tmp_path / "rows.parquet") == 0


def test_a_record_over_the_limit_is_refused_by_its_key() -> None:
    connection = _payload([(1, 2, '"a"', "["), (2, 2, '"' + "ø" * 50 + '"', "[")])
    with pytest.raises(PlanError, match=r"key 'key2' alone is 105 bytes, .* takes 104"):
        cut_requests(connection, "rows", Limits(None, 104))
    assert cut_requests(connection, "rows", Limits(None, 105)).sizes == [1, 1]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([(1, 2, "1", "["), (3, 2, "2", "[")], "do not rise by one"),
        ([(1, 2, "1", "["), (2, 1, "2", "[")], "phase 1 after phase 2"),
    ],
)
def test_rows_out_of_order_are_refused(rows: list[Row], message: str) -> None:
    with pytest.raises(PlanError, match=message):
        cut_requests(_payload(rows), "rows", Limits(None, None))


def test_the_engine_gets_its_memory_back() -> None:
    connection = _payload([(1, 2, "1", "[")])
    before = connection.execute("select current_setting('memory_limit')").fetchall()
    cut_requests(connection, "rows", Limits(None, None))
    assert connection.execute("select current_setting('memory_limit')").fetchall() == before
