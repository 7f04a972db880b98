"""Event files by hand, merged ids, a destination's users, and landing/ itself."""

import json
import random
from pathlib import Path
from typing import Any

import pytest
from duckdb import DuckDBPyConnection
from hypothesis import HealthCheck, given
from hypothesis import settings as settings_of
from hypothesis import strategies as st

from load.made import (
    HOUR,
    NOW,
    archive,
    empty_warehouse,
    event,
    line,
    lines,
    member_name,
    open_warehouse,
    packed,
    settings_at,
    tables,
)
from relay.errors import ConfigurationError, InputFileError
from relay.load import landing
from relay.load.amplitude_events import load_event_files
from relay.load.amplitude_merges import load_merge_files
from relay.load.known_users import load_known_users
from relay.load.result import LoadResult, Note, Window
from relay.settings import Settings


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return settings_at(tmp_path / "home")


@pytest.fixture
def connection() -> DuckDBPyConnection:
    return empty_warehouse()


def put(folder: Path, name: str, content: bytes) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


# --- event files ----------------------------------------------------------------------------------


def test_files_of_every_kind_in_a_folder_are_loaded_and_merges_left(
    tmp_path: Path, settings: Settings, connection: DuckDBPyConnection
) -> None:
    folder = tmp_path / "exports"
    put(folder, "a.zip", archive([(member_name(), packed(lines([event(1), event(2)])))]))
    put(folder, "829528_2026-03-01_11#0.json.gz", packed(line(event(3, at=HOUR.replace(hour=11)))))
    put(folder, "deep/b.json", lines([event(2), event(4)]) + b"bad\n")
    put(folder, "-100042_2026-03-01_0.json.gz", packed(b'{"amplitude_id":1}\n'))
    put(folder, "notes.txt", b"hello")
    result = load_event_files(connection, settings, [folder])
    assert (result.rows, result.loaded, result.duplicates, result.rejected) == (6, 4, 1, 1)
    assert (len(result.files), result.exit_code) == (3, 4)
    assert [window.document() for window in result.windows] == [
        {"hour": "2026-03-01T10", "state": "loaded"},
        {"hour": "2026-03-01T11", "state": "loaded"},
    ]
    before = tables(connection)
    again = load_event_files(connection, settings, [folder, folder / "a.zip"])
    assert (again.loaded, again.duplicates, again.rejected) == (0, 5, 1)
    assert tables(connection) == before


def test_one_file_refused_among_several_leaves_the_others_loaded(
    tmp_path: Path, settings: Settings, connection: DuckDBPyConnection
) -> None:
    good = put(tmp_path, "a.json", line(event(1)))
    bad = put(tmp_path, "b.json.gz", packed(line(event(2)))[:-3])
    merges = put(tmp_path, "-1_2026-03-01_0.json", b"")
    result = load_event_files(connection, settings, [bad, merges, good], project="shop")
    assert (result.loaded, result.exit_code) == (1, 1)
    assert [Path(failure.name).name for failure in result.failures] == [bad.name, merges.name]
    assert "relay load merges" in result.failures[1].reason
    assert connection.execute("select project from raw.amplitude_events").fetchall() == [("shop",)]


def test_a_pattern_names_files_and_one_that_names_none_is_refused(
    tmp_path: Path, settings: Settings, connection: DuckDBPyConnection
) -> None:
    put(tmp_path, "x1.json", line(event(1)))
    put(tmp_path, "y1.json", line(event(2)))
    assert load_event_files(connection, settings, [tmp_path / "x*.json"]).loaded == 1
    (tmp_path / "empty").mkdir()
    for path in (tmp_path / "z*.json", tmp_path / "nothing", tmp_path / "empty"):
        with pytest.raises(InputFileError, match=r"no export file|no such file"):
            load_event_files(connection, settings, [path])


def test_the_same_events_in_another_file_are_duplicates_wherever_they_stand(
    tmp_path: Path, settings: Settings, connection: DuckDBPyConnection
) -> None:
    old = put(tmp_path, "old.json", lines(event(n, at=HOUR.replace(year=2024)) for n in range(50)))
    new = put(tmp_path, "new.json", lines(event(n) for n in range(50, 100)))
    both = put(tmp_path, "both.json", new.read_bytes() + old.read_bytes())
    assert load_event_files(connection, settings, [old, new]).loaded == 100
    assert load_event_files(connection, settings, [both]).duplicates == 100


def test_long_lines_have_room_and_what_the_engine_may_hold_is_restored(
    tmp_path: Path, settings: Settings
) -> None:
    connection = open_warehouse(settings)

    def engine() -> tuple[str, int]:
        names = "left(current_setting('memory_limit'), 2), current_setting('threads')"
        ((memory, threads),) = connection.execute(f"select {names}").fetchall()
        return memory, threads

    before = engine()
    long = "x" * 2_500_000
    rows = [event(1, city=long), event(2, odd=long), event(3, event_properties={"a": long})]
    path = put(tmp_path, "a.json", lines(rows) + b'{"a":"' + long.encode() + b'"\n')
    result = load_event_files(connection, settings, [path])
    assert (result.loaded, result.rejected) == (3, 1)
    assert engine() == before
    bad = put(tmp_path, "b.json.gz", packed(line(event(4)))[:-3])
    assert load_event_files(connection, settings, [bad]).exit_code == 1
    assert engine() == before
    connection.close()


# --- landing --------------------------------------------------------------------------------------


def test_what_lands_is_the_bytes_with_their_hash_beside_and_nothing_half(
    settings: Settings,
) -> None:
    landed = landing.land(settings.home, "source/a/b.bin", [b"one", b"two"])
    assert landed.path.read_bytes() == b"onetwo"
    assert (landed.size, landed.source_file) == (6, "source/a/b.bin")
    beside = landed.path.with_name("b.bin.sha256").read_text()
    assert beside == f"{landed.sha256}  b.bin\n"

    def broken() -> Any:
        yield b"half"
        raise OSError("gone")

    with pytest.raises(OSError, match="gone"):
        landing.land(settings.home, "source/a/c.bin", broken())
    assert sorted(path.name for path in landed.path.parent.iterdir()) == ["b.bin", "b.bin.sha256"]


def test_a_file_is_landed_once_and_one_that_was_changed_is_refused(
    tmp_path: Path, settings: Settings
) -> None:
    path = put(tmp_path, "a.json", b"{}\n")
    landed = landing.land_file(settings.home, "source", path)
    assert landing.land_file(settings.home, "source", path) == landed
    assert landing.land_file(settings.home, "source", landed.path) == landed
    other = put(tmp_path, "other/a.json", b"[]\n")
    assert landing.land_file(settings.home, "source", other).path != landed.path
    landed.path.write_bytes(b"changed")
    with pytest.raises(InputFileError, match="not those that were received"):
        landing.found(settings.home, landed.source_file)


def test_what_a_killed_run_left_half_written_is_swept_away(settings: Settings) -> None:
    landed = landing.land(settings.home, "source/a/b.zip", [b"one"])
    half = landed.path.with_name(".c.zip.4711")
    half.write_bytes(b"hal")
    landing.sweep(settings.home, "source")
    landing.sweep(settings.home, "nothing")
    assert sorted(path.name for path in landed.path.parent.iterdir()) == ["b.zip", "b.zip.sha256"]


def test_a_hash_that_a_crash_kept_away_is_made(settings: Settings) -> None:
    landed = landing.land(settings.home, "source/a.bin", [b"one"])
    landed.path.with_name("a.bin.sha256").unlink()
    assert landing.found(settings.home, "source/a.bin") == landed
    assert landed.path.with_name("a.bin.sha256").exists()
    landing.remove(landed)
    assert list(landed.path.parent.iterdir()) == []


# --- merged ids -----------------------------------------------------------------------------------


def merge(absorbed: Any, survivor: Any, **more: Any) -> bytes:
    row = {
        "scope": 100042,
        "merge_time": 1_772_428_440_000,
        "merge_server_time": 1_772_428_441_000,
        "amplitude_id": absorbed,
        "merged_amplitude_id": survivor,
    }
    return json.dumps(row | more).encode() + b"\n"


def test_merges_are_stored_once_whatever_files_hold_them(
    tmp_path: Path, settings: Settings, connection: DuckDBPyConnection
) -> None:
    text = merge(9, 8) + merge("00010", 8) + merge(9, 8) + b"bad\n\n" + merge(0, 8) + b"\xff\n"
    folder = tmp_path / "exports"
    put(folder, "-100042_2026-03-01_0.json.gz", packed(text))
    put(folder, "-100042_2026-03-01_1.json", merge(9, 8) + merge(7, 8, merge_time=None))
    put(folder, "829528_2026-03-01_0#0.json.gz", b"not read")
    result = load_merge_files(connection, settings, [folder])
    assert (result.rows, result.loaded, result.duplicates, result.rejected) == (8, 3, 2, 3)
    found = connection.execute(
        "select scope, merge_time, amplitude_id, merged_amplitude_id from raw.amplitude_merges"
        " order by amplitude_id"
    ).fetchall()
    assert found == [
        (100042, None, 7, 8),
        (100042, 1_772_428_440_000, 9, 8),
        (100042, 1_772_428_440_000, 10, 8),
    ]
    rejects = connection.execute(
        "select line_number, reason, content from raw.rejected_rows order by 1"
    ).fetchall()
    assert rejects == [
        (4, "is not JSON", b"bad"),
        (6, "has no amplitude_id", merge(0, 8)[:-1]),
        (7, "is not UTF-8 text", b"\xff"),
    ]
    before = tables(connection)
    again = load_merge_files(connection, settings, [folder])
    assert (again.loaded, again.duplicates, again.rejected, again.exit_code) == (0, 5, 3, 4)
    assert tables(connection) == before


def test_files_of_merges_are_stored_together_and_counted_apart(
    tmp_path: Path, settings: Settings, connection: DuckDBPyConnection
) -> None:
    folder = tmp_path / "exports"
    put(folder, "-1_2026-03-01_0.json", merge(1, 8) + merge(2, 8) + b"bad\n")
    put(folder, "-1_2026-03-01_1.json", merge(2, 8) + merge(3, 8))
    put(folder, "-1_2026-03-01_2.json", merge(2, 8) + merge(3, 8))
    result = load_merge_files(connection, settings, [folder])
    assert (result.rows, result.loaded, result.duplicates, result.rejected) == (7, 3, 3, 1)
    noted = connection.execute(
        "select row_count, loaded, duplicates, rejected, load_id from raw.loaded_files"
        " order by row_count"
    ).fetchall()
    # The third has the bytes of the second.
    assert [row[:4] for row in noted] == [(2, 1, 1, 0), (3, 2, 0, 1)]
    assert noted[0][4] == noted[1][4]


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("-1_2026-03-01_0.json.gz", packed(merge(9, 8))[:-2], "cut off"),
        ("-1_2026-03-01_0.json.gz", packed(merge(9, 8))[:-8] + bytes(8), "damaged"),
        ("-1_2026-03-01_0.json.gz", b"", "is empty"),
        ("-1_2026-03-01_0.json.gz", b"plain text\n", "is not gzip"),
        ("-1_2026-03-01_0.zip", archive([("-1_2026-03-01_0.json.gz", b"")]), "is empty"),
    ],
)
def test_a_damaged_file_of_merges_is_refused_and_the_others_are_loaded(
    tmp_path: Path,
    settings: Settings,
    connection: DuckDBPyConnection,
    name: str,
    content: bytes,
    problem: str,
) -> None:
    bad = put(tmp_path, name, content)
    good = put(tmp_path, "-1_2026-03-01_1.json", b"\xef\xbb\xbf" + merge(7, 8)[:-1] + b"\r\n")
    result = load_merge_files(connection, settings, [bad, good])
    assert (result.exit_code, result.rows, result.loaded) == (1, 1, 1)
    assert problem in result.failures[0].reason
    assert str(bad) in result.failures[0].name
    found = connection.execute("select amplitude_id from raw.amplitude_merges").fetchall()
    assert found == [(7,)]


@settings_of(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.integers(0, 2**32))
def test_every_line_of_merges_is_loaded_double_or_rejected(
    tmp_path_factory: pytest.TempPathFactory, seed: int
) -> None:
    chance = random.Random(seed)
    pieces = [
        chance.choice(
            [
                merge(chance.randrange(-1, 6), chance.randrange(6)),
                merge(None, "x"),
                b"[]\n",
                b"\n",
                b"\x00\xff\n",
                b'{"amplitude_id":\n',
                b'{"amplitude_id":1,"merged_amplitude_id":{"a":[' + b"[" * 40 + b"\n",
            ]
        )
        for _ in range(chance.randrange(1, 30))
    ]
    folder = tmp_path_factory.mktemp("merges")
    path = put(folder, "-1_2026-03-01_0.json.gz", packed(b"".join(pieces)))
    connection = empty_warehouse()
    result = load_merge_files(connection, settings_at(folder / "home"), [path])
    assert result.rows == sum(piece != b"\n" for piece in pieces)
    stored = connection.execute(
        "select (select count(*) from raw.amplitude_merges), count(*) from raw.rejected_rows"
    ).fetchall()
    assert stored == [(result.loaded, result.rejected)]


# --- known users ----------------------------------------------------------------------------------


def known(connection: DuckDBPyConnection) -> list[Any]:
    return connection.execute(
        "select destination, user_key, anonymous_key from raw.known_users order by 1, 2, 3"
    ).fetchall()


def test_a_directory_replaces_the_one_before_of_its_destination(
    tmp_path: Path, settings: Settings, connection: DuckDBPyConnection
) -> None:
    one = put(tmp_path, "m.csv", b"name,uid,moe_anonymous_id\nA,u1,\nB,,an1\nC,,\nD,u1,\n")
    result = load_known_users(connection, settings, "moengage", one)
    assert (result.rows, result.loaded, result.duplicates, result.rejected) == (4, 2, 1, 1)
    assert known(connection) == [("moengage", "u1", None), ("moengage", None, "an1")]
    other = put(tmp_path, "c.csv", b'"identity","objectId"\n"i1","o1"\n')
    load_known_users(connection, settings, "clevertap", other)
    before = tables(connection)
    again = load_known_users(connection, settings, "moengage", one)
    assert (again.loaded, again.duplicates, again.rejected) == (0, 3, 1)
    assert tables(connection) == before
    two = put(tmp_path, "m2.csv", b"uid,moe_anonymous_id\nu2,an2\n")
    load_known_users(connection, settings, "moengage", two)
    assert known(connection) == [("clevertap", "i1", "o1"), ("moengage", "u2", "an2")]
    load_known_users(connection, settings, "moengage", one)
    assert known(connection)[1:] == [("moengage", "u1", None), ("moengage", None, "an1")]


def test_a_directory_that_cannot_be_read_leaves_the_one_before(
    tmp_path: Path, settings: Settings, connection: DuckDBPyConnection
) -> None:
    good = put(tmp_path, "m.csv", b"uid,moe_anonymous_id\nu1,an1\n")
    load_known_users(connection, settings, "moengage", good)
    for content, problem in (
        (b"uid\nu2\n", "no column moe_anonymous_id"),
        (b"uid,moe_anonymous_id\nu2,an2\nu3\n", "line 3"),
        (b"", "no header"),
    ):
        with pytest.raises(InputFileError, match=problem):
            load_known_users(connection, settings, "moengage", put(tmp_path, "b.csv", content))
        assert known(connection) == [("moengage", "u1", "an1")]
    with pytest.raises(ConfigurationError, match="clevertap or moengage"):
        load_known_users(connection, settings, "lytics", good)


def test_a_directory_is_read_from_gzip_with_quotes_and_blank_lines(
    tmp_path: Path, settings: Settings, connection: DuckDBPyConnection
) -> None:
    text = (
        b'\xef\xbb\xbf"uid","note","moe_anonymous_id"\r\n"u,1","a ""b""\nc","a1"\r\n"u2","",""\r\n'
    )
    result = load_known_users(
        connection, settings, "moengage", put(tmp_path, "m.csv.gz", packed(text))
    )
    assert (result.rows, result.loaded) == (2, 2)
    assert known(connection) == [("moengage", "u,1", "a1"), ("moengage", "u2", None)]
    for content in (packed(text)[:-5], packed(text)[:-8] + bytes(8), text[:-9]):
        with pytest.raises(InputFileError, match=r"cut off|damaged|not as many columns"):
            load_known_users(connection, settings, "moengage", put(tmp_path, "bad", content))
    assert len(known(connection)) == 2


# --- results --------------------------------------------------------------------------------------


def test_counts_of_a_result_add_up_or_it_is_none() -> None:
    with pytest.raises(ValueError, match="3 rows are not"):
        LoadResult("x", rows=3, loaded=1, rejected=1)


def test_results_are_added_and_say_how_the_command_ends() -> None:
    one = LoadResult("x", files=("a",), rows=3, loaded=1, duplicates=1, rejected=1)
    assert one.exit_code == 4
    both = one + LoadResult("x", failures=(Note("b", "bad"),), windows=(Window(NOW, "pending"),))
    assert (both.exit_code, both.rows, both.files) == (1, 3, ("a",))
    assert "1 refused" in both.line
    assert "1 hours pending" in both.line
