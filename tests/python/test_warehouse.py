"""One writer whose lock names it, any number of readers, and a copy that is never half there."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import duckdb
import pytest

from relay import warehouse
from relay.errors import ConfigurationError, LockedError
from relay.settings import Settings, load_settings

HOLD = """
import sys, time
from pathlib import Path
from relay import warehouse
from relay.settings import load_settings
settings = load_settings(Path(sys.argv[1]), environ={})
with warehouse.lock(settings.home, "relay plan"):
    print("held", flush=True)
    time.sleep(60)
"""

ANALYST_WHO_IS_KILLED = """
import duckdb, os, sys
connection = duckdb.connect(sys.argv[1])
connection.execute("create table theirs as select 2")
os.kill(os.getpid(), 9)
"""


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load_settings(tmp_path / "home", environ={})


def _holder(settings: Settings) -> "subprocess.Popen[str]":
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(settings.home.root)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_a_second_writer_is_told_who_holds_the_lock(settings: Settings) -> None:
    holder = _holder(settings)
    try:
        with (
            pytest.raises(LockedError, match=rf"relay plan \(process {holder.pid}\), for \d+ s"),
            warehouse.lock(settings.home, "relay sync"),
        ):
            pytest.fail("two writers")
        assert warehouse.lock_holder(settings.home) is not None
    finally:
        holder.kill()
        holder.wait()


def test_the_lock_is_free_when_its_holder_was_killed(settings: Settings) -> None:
    holder = _holder(settings)
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    assert warehouse.lock_holder(settings.home) is None
    with warehouse.lock(settings.home, "relay sync"), warehouse.lock(settings.home, "relay plan"):
        pass
    with warehouse.lock(settings.home, "relay apply"):
        pass


def test_texts_are_stored_without_the_compression_that_costs_a_third_of_a_load(
    settings: Settings,
) -> None:
    texts = "select 'https://shop.example/item/' || md5(i::varchar) as page from range(50000) t(i)"

    def compressions(connection: duckdb.DuckDBPyConnection) -> set[str]:
        connection.execute(f"create table pages as {texts}")
        connection.execute("checkpoint")
        rows = connection.execute(
            "select distinct compression from pragma_storage_info('pages')"
            " where segment_type = 'VARCHAR'"
        ).fetchall()
        return {name for (name,) in rows}

    with duckdb.connect(str(settings.home.root.with_name("as_ever.duckdb"))) as connection:
        assert "FSST" in compressions(connection)
    with warehouse.lock(settings.home, "test"), warehouse.connect(settings) as connection:
        assert "FSST" not in compressions(connection)


def test_readers_see_whole_copies_while_new_ones_are_published(settings: Settings) -> None:
    """A reader in a loop, meanwhile twelve publications: each reading is one of them, whole."""
    with warehouse.lock(settings.home, "test"):
        with warehouse.connect(settings) as connection:
            connection.execute("create table pairs as select 0 as a, 0 as b from range(1000)")
        warehouse.publish(settings.home)
        seen: set[int] = set()
        problems: list[str] = []
        done = threading.Event()

        def read() -> None:
            while not done.is_set():
                with warehouse.read(settings.home) as reader:
                    rows = reader.execute("select distinct a, b from pairs").fetchall()
                if len(rows) != 1 or rows[0][0] != rows[0][1]:
                    problems.append(str(rows))
                seen.add(rows[0][0])

        reader = threading.Thread(target=read)
        reader.start()
        for number in range(1, 13):
            with warehouse.connect(settings) as connection:
                connection.execute("update pairs set a = ?, b = ?", [number, number])
            warehouse.publish(settings.home)
        done.set()
        reader.join()
    assert not problems
    assert len(seen) > 1


def test_a_stale_log_beside_the_old_copy_does_not_spoil_the_new_one(settings: Settings) -> None:
    with warehouse.lock(settings.home, "test"):
        with warehouse.connect(settings) as connection:
            connection.execute("create table numbers as select 1 as n")
        warehouse.publish(settings.home)
        # An analyst opened the copy for writing and was killed: the log of that session is left.
        subprocess.run(
            [sys.executable, "-c", ANALYST_WHO_IS_KILLED, str(settings.home.analytics)], check=False
        )
        assert settings.home.analytics.with_name("analytics.duckdb.wal").exists()
        with warehouse.connect(settings) as connection:
            connection.execute("update numbers set n = 3")
        warehouse.publish(settings.home)
    with warehouse.read(settings.home) as reader:
        assert reader.execute("select n from numbers").fetchall() == [(3,)]


def test_a_copy_is_made_anew_only_of_another_build(settings: Settings) -> None:
    home = settings.home

    def published(change: str) -> bool:
        """Whether there is another copy after a change of the warehouse."""
        with warehouse.lock(home, "relay sync"):
            with warehouse.connect(settings) as connection:
                connection.execute(change)
            before = home.analytics.stat().st_ino if home.analytics.exists() else None
            warehouse.publish_news(home)
        return home.analytics.stat().st_ino != before

    # What was never built to its end may be anything.
    assert published("select 1")
    assert published("select 2")
    assert published("insert into raw.built values ('syncs', 'a')")
    assert not published("create table theirs as select 1")
    assert published("update raw.built set state = 'b'")
    home.analytics.write_bytes(b"cut off")
    assert published("select 3")
    assert not published("select 4")


def test_a_copy_that_is_not_there_says_what_to_run(settings: Settings) -> None:
    with pytest.raises(ConfigurationError, match="relay build"):
        warehouse.read(settings.home)


def test_a_transaction_that_fails_leaves_nothing(settings: Settings) -> None:
    connection = duckdb.connect()
    connection.execute("create table t (n integer)")

    def stop_half_way() -> None:
        with warehouse.transaction(connection):
            connection.execute("insert into t values (1)")
            raise ValueError("half way")

    with pytest.raises(ValueError, match="half way"):
        stop_half_way()
    assert connection.execute("select count(*) from t").fetchall() == [(0,)]
