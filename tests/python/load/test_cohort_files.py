"""Cohort files into intervals: whatever the files' form, and whatever the order they come in."""

import gzip
import hashlib
import itertools
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from load.made import NOW, empty_warehouse, memory_warehouse, settings_at, tables
from relay.errors import ConfigurationError, InputFileError
from relay.load.amplitude_cohorts import load_cohort_file
from relay.load.cohort_snapshots import Snapshot, store_snapshot
from relay.load.landing import Landed
from relay.load.result import LoadResult
from relay.warehouse import transaction

COMPUTED = datetime(2026, 3, 1, tzinfo=UTC)
HEADER = '"amplitude_id","user_id"\n'


def load(path: Path, content: bytes | str, **about: Any) -> LoadResult:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    values: dict[str, Any] = {
        "cohort_id": "c1",
        "cohort_name": "Cart",
        "computed_at": COMPUTED,
    } | about
    return load_cohort_file(CONNECTION, settings_at(path.parent / "home"), path, **values)


CONNECTION = memory_warehouse()


@pytest.fixture(autouse=True)
def _empty() -> None:
    for name in ("amplitude_cohort_members", "amplitude_cohort_snapshots", "amplitude_cohorts"):
        CONNECTION.execute(f"delete from raw.{name}")
    CONNECTION.execute("delete from raw.loaded_files")


def members(*columns: str) -> list[Any]:
    names = ", ".join(columns or ("amplitude_id", "user_id", "properties", "row_count"))
    return CONNECTION.execute(
        f"select {names} from raw.amplitude_cohort_members order by amplitude_id, user_id"
    ).fetchall()


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (HEADER + '"1","a"\n"2",""\n', [(1, "a", None, 1), (2, None, None, 1)]),
        (HEADER + '"1","a"\n"2",""', [(1, "a", None, 1), (2, None, None, 1)]),
        (HEADER, []),
        (HEADER.strip(), []),
        (HEADER + '"1","a"\n"1","a"\n"1","b"\n', [(1, "a", None, 2), (1, "b", None, 1)]),
        ("user_id,amplitude_id\na,1\n,2\n", [(1, "a", None, 1), (2, None, None, 1)]),
        ('"user_id"\n"a"\n', [(None, "a", None, 1)]),
        ('"amplitude_id"\n"1"\n', [(1, None, None, 1)]),
        (
            '"\tamplitude_id","\tuser_id"\n"\t1","\ta"\n"\t2","\t"\n',
            [(1, "a", None, 1), (2, None, None, 1)],
        ),
        ('"amplitude_id","user_id","amplitude_id"\n"1","a","9"\n', [(1, "a", None, 1)]),
        (
            '"amplitude_id","user_id","City","city","a""b"\n"1","a","x","","q,""\né"\n"2","b","","",""\n',
            [(1, "a", '{"City":"x","a\\"b":"q,\\"\\né"}', 1), (2, "b", "{}", 1)],
        ),
        (
            HEADER + '"x","a"\n" 007 ","b"\n',
            [(7, "b", None, 1), (None, "a", '{"amplitude_id":"x"}', 1)],
        ),
        ("\ufeff" + HEADER + '"1","a"\n', [(1, "a", None, 1)]),
        (HEADER.replace("\n", "\r\n") + '"1","a"\r\n', [(1, "a", None, 1)]),
        (gzip.compress((HEADER + '"1","a"\n').encode()), [(1, "a", None, 1)]),
    ],
)
def test_a_file_is_read_as_its_vendor_means_it(
    tmp_path: Path, content: bytes | str, expected: list[Any]
) -> None:
    result = load(tmp_path / "c.csv", content)
    assert sorted(members(), key=repr) == sorted(expected, key=repr)
    assert result.loaded == result.rows == sum(row[3] for row in expected)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("", "has no header"),
        ('"amplitude_id","us', "has no header|has neither|quote"),
        (HEADER + '"1","a"\n"2","b', "cut off"),
        (HEADER + '"1","a"\n"2",', "cut off"),
        (HEADER + '"1","a"\n"2"', "line 3: a row has not as many columns"),
        (HEADER + '"1","a","x"\n', "line 2: a row has not as many columns"),
        (HEADER + '"1","a"x\n', "line 2: a row has a quote"),
        (HEADER.encode() + b'"1","\xff"\n', "line 2: a row is not UTF-8"),
        (b"\xff\xfe" * 10, "not UTF-8"),
        ('"name","email"\n"a","b"\n', "has neither a column amplitude_id nor user_id"),
        ('"\tgroup_value"\n"\tAcme"\n', "cohort of groups"),
        (gzip.compress((HEADER + '"1","a"\n').encode())[:-5], "cut off or damaged"),
        ('{"error": "x"}', "has neither|has no header|cut off"),
    ],
)
def test_a_file_that_is_not_whole_is_refused_without_a_word_of_it(
    tmp_path: Path, content: bytes | str, problem: str
) -> None:
    with pytest.raises(InputFileError, match=problem) as caught:
        load(tmp_path / "c.csv", content)
    assert "c.csv" in str(caught.value)
    assert '"1"' not in str(caught.value)
    assert members() == []


def test_a_size_that_does_not_match_is_refused_unless_it_is_accepted(tmp_path: Path) -> None:
    content = HEADER + '"1","a"\n"1","a"\n'
    with pytest.raises(InputFileError, match="has 2 members, Amplitude declares 3"):
        load(tmp_path / "c.csv", content, size=3)
    assert members() == []
    assert load(tmp_path / "c.csv", content, size=3, accept_snapshot=True).loaded == 2
    assert load(tmp_path / "c.csv", content, size=2).duplicates == 2


def test_loading_a_file_again_changes_nothing_and_another_one_is_refused(tmp_path: Path) -> None:
    load(tmp_path / "c.csv", HEADER + '"1","a"\n')
    before = tables(CONNECTION)
    again = load(tmp_path / "c.csv", HEADER + '"1","a"\n', computed_at=COMPUTED)
    assert (again.loaded, again.duplicates) == (0, 1)
    assert tables(CONNECTION) == before
    with pytest.raises(InputFileError, match="one snapshot is one file"):
        load(tmp_path / "c.csv", HEADER + '"2","b"\n')
    assert tables(CONNECTION) == before


def test_a_snapshot_of_the_future_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="in the future"):
        load(tmp_path / "c.csv", HEADER, computed_at=NOW + timedelta(hours=1))


def test_a_cohort_known_by_a_file_is_in_the_list_under_its_newest_name(tmp_path: Path) -> None:
    load(tmp_path / "c.csv", HEADER + '"1","a"\n', app_id=829528)
    load(tmp_path / "d.csv", HEADER, computed_at=COMPUTED + timedelta(days=1), cohort_name="Basket")
    load(tmp_path / "e.csv", HEADER, computed_at=COMPUTED - timedelta(days=1), cohort_name="Old")
    found = CONNECTION.execute(
        "select cohort_id, cohort_name, last_computed from raw.amplitude_cohorts"
    ).fetchall()
    assert found == [("c1", "Basket", datetime(2026, 3, 2))]  # noqa: DTZ001 - UTC without a zone


# --- intervals, against a model -------------------------------------------------------------------

Row = tuple[str, str, str]
_ROWS = st.tuples(
    st.sampled_from("123"), st.sampled_from(["", "a", "b"]), st.sampled_from(["", "x"])
)
_SNAPSHOTS = st.lists(st.lists(_ROWS, max_size=5), min_size=1, max_size=6)


def intervals_of(snapshots: Sequence[Sequence[Row]]) -> set[Any]:
    """The longest runs of snapshots, in the order of their times, that hold a row so many times."""
    found = set()
    counted = [Counter(rows) for rows in snapshots]
    for row in {row for rows in snapshots for row in rows}:
        numbers = [rows[row] for rows in counted]
        for count, run in itertools.groupby(enumerate(numbers), key=lambda pair: pair[1]):
            places = [place for place, _ in run]
            if count:
                left = places[-1] + 1 if places[-1] + 1 < len(snapshots) else None
                found.add((row, count, places[0], left))
    return found


def stored_intervals(connection: Any) -> set[Any]:
    found = connection.execute(
        "select amplitude_id::varchar, coalesce(user_id, ''), coalesce(properties ->> 'p', ''),"
        " row_count, date_diff('hour', timestamp '2026-03-01', entered_at),"
        " date_diff('hour', timestamp '2026-03-01', left_at), source_file"
        " from raw.amplitude_cohort_members"
    ).fetchall()
    assert all(source_file == str(entered) for *_, entered, _, source_file in found)
    return {((a, u, p), count, entered, left) for a, u, p, count, entered, left, _ in found}


def store(connection: Any, folder: Path, number: int, rows: Sequence[Row], cohort: str) -> None:
    text = '"amplitude_id","user_id","p"\n' + "".join(f'"{a}","{u}","{p}"\n' for a, u, p in rows)
    path = folder / "snapshot.csv"
    path.write_text(text)
    sha256 = hashlib.sha256(text.encode()).hexdigest()
    with transaction(connection):
        store_snapshot(
            connection,
            Landed(path, str(number), sha256, len(text)),
            Snapshot(cohort, "C", COMPUTED + timedelta(hours=number)),
            now=NOW,
            load_id=number,
        )


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(_SNAPSHOTS, st.randoms(use_true_random=False))
def test_intervals_are_those_of_the_snapshots_whatever_order_they_come_in(
    tmp_path_factory: pytest.TempPathFactory, snapshots: list[list[Row]], chance: Any
) -> None:
    connection = CONNECTION
    connection.execute("delete from raw.amplitude_cohort_members")
    connection.execute("delete from raw.amplitude_cohort_snapshots")
    folder = tmp_path_factory.getbasetemp()
    order = list(range(len(snapshots)))
    chance.shuffle(order)
    for done, number in enumerate(order, start=1):
        store(connection, folder, number, snapshots[number], "c1")
        present = sorted(order[:done])
        model = intervals_of([snapshots[place] for place in present])
        expected = {
            (row, count, present[first], None if left is None else present[left])
            for row, count, first, left in model
        }
        assert stored_intervals(connection) == expected


def test_cohorts_do_not_touch_each_other(tmp_path: Path) -> None:
    connection = empty_warehouse()
    store(connection, tmp_path, 0, [("1", "a", "")], "c1")
    store(connection, tmp_path, 1, [], "c2")
    found = connection.execute("select cohort_id, left_at from raw.amplitude_cohort_members")
    assert found.fetchall() == [("c1", None)]
