"""Plans and ledger files become tables once: a long past is not read again, nothing is missed."""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest
from duckdb import DuckDBPyConnection

from apply.sealed import Sync, seal
from relay import warehouse
from relay.errors import LedgerError, PlanError
from relay.ledger_tables import refresh_ledger_tables
from relay.settings import Settings, load_settings

PLANS, LINES = 60, 400


def lines(first: int, count: int, plan_id: str) -> str:
    """Lines of one plan, some 250 bytes each."""
    return "".join(
        json.dumps(
            {
                "seq": first + number,
                "at": "2026-03-02T12:00:00+00:00",
                "kind": "answered",
                "plan_id": plan_id,
                "sync": "ct",
                "request": number + 1,
                "attempt": 1,
                "http_status": 200,
                "outcome": "delivered",
                "rejected": [],
                "unknown": [],
                "detail": {"said": "x" * 40},
            }
        )
        + "\n"
        for number in range(count)
    )


def bytes_read() -> int:
    """By this process, from files or their cache."""
    words = Path("/proc/self/io").read_text().split()
    return int(words[words.index("rchar:") + 1])


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load_settings(tmp_path, environ={})


@pytest.fixture
def connection(settings: Settings) -> Iterator[DuckDBPyConnection]:
    with warehouse.connect(settings) as connection:
        yield connection


def count(connection: DuckDBPyConnection) -> list[tuple[int, int, int]]:
    return connection.execute(
        "select count(*), count(distinct seq), max(seq) from raw.ledger_lines"
    ).fetchall()


@pytest.mark.skipif(not Path("/proc/self/io").exists(), reason="counts bytes by /proc")
def test_a_long_past_is_not_read_again(settings: Settings, connection: DuckDBPyConnection) -> None:
    for number in range(PLANS):
        plan = seal(settings.home, [Sync("ct", "clevertap", [(2, 1)])], minute=number)
        path = settings.home.ledger / f"{plan.plan_id}.ndjson"
        path.write_text(lines(number * LINES + 1, LINES, plan.plan_id), encoding="utf-8")
    refresh_ledger_tables(connection, settings.home)
    everything = PLANS * LINES
    assert count(connection) == [(everything, everything, everything)]
    size = sum(file.stat().st_size for file in settings.home.ledger.iterdir())
    before = bytes_read()
    refresh_ledger_tables(connection, settings.home)
    assert bytes_read() - before < size / 10
    # One more line in one of them is seen.
    with path.open("a", encoding="utf-8") as file:
        file.write(lines(everything + 1, 1, plan.plan_id))
    refresh_ledger_tables(connection, settings.home)
    assert count(connection) == [(everything + 1, everything + 1, everything + 1)]


def test_a_line_is_seen_however_long_it_is(
    settings: Settings, connection: DuckDBPyConnection
) -> None:
    plan = seal(settings.home, [Sync("ct", "clevertap", [(2, 1)])])
    path = settings.home.ledger / f"{plan.plan_id}.ndjson"
    text = lines(1, 1, plan.plan_id)
    longer = json.loads(lines(2, 1, plan.plan_id)) | {"unknown": list(range(9000))}
    for content, last in (
        (text, 1),
        (text + json.dumps(longer) + "\n", 2),
        # A line that is being written is none yet.
        (text + json.dumps(longer) + "\n" + '{"seq": 3, "at"', 2),
    ):
        path.write_text(content, encoding="utf-8")
        refresh_ledger_tables(connection, settings.home)
        assert count(connection) == [(last, last, last)]


def test_a_file_that_lost_lines_is_read_anew_and_folded_anew(
    settings: Settings, connection: DuckDBPyConnection
) -> None:
    plan = seal(settings.home, [Sync("ct", "clevertap", [(2, 1)])])
    path = settings.home.ledger / f"{plan.plan_id}.ndjson"
    path.write_text(lines(1, 3, plan.plan_id), encoding="utf-8")
    refresh_ledger_tables(connection, settings.home)
    ((generation,),) = connection.execute("select * from raw.ledger_generation").fetchall()
    path.write_text(lines(1, 2, plan.plan_id), encoding="utf-8")
    refresh_ledger_tables(connection, settings.home)
    assert count(connection) == [(2, 2, 2)]
    assert connection.execute("select * from raw.ledger_generation").fetchall() == [
        (generation + 1,)
    ]
    path.write_text(lines(1, 1, plan.plan_id) + "{]\n" + lines(3, 1, plan.plan_id), "utf-8")
    with pytest.raises(LedgerError, match=f"{path}, line 2: not a ledger line"):
        refresh_ledger_tables(connection, settings.home)


def swap_key(folder: Path) -> None:
    rows = pyarrow.parquet.read_table(folder / "ct.rows.parquet").to_pylist()
    table = pyarrow.Table.from_pylist([row | {"key_value": "another"} for row in rows])
    pyarrow.parquet.write_table(table, folder / "ct.rows.parquet")


def change_manifest(folder: Path) -> None:
    path = folder / "manifest.json"
    path.write_text(path.read_text().replace('"ledger_seq": 0', '"ledger_seq": 9'))


@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        (swap_key, "ct.rows.parquet was changed after sealing"),
        (lambda folder: (folder / "ct.rows.parquet").unlink(), "ct.rows.parquet is missing"),
        (change_manifest, "manifest.json was changed after sealing"),
        (
            lambda folder: (folder / "manifest.json").write_text("{"),
            "manifest.json is not a manifest of a sealed plan",
        ),
    ],
)
def test_a_plan_that_is_not_as_it_was_sealed_is_not_taken_in(
    settings: Settings, connection: DuckDBPyConnection, damage: Callable[[Path], None], problem: str
) -> None:
    plan = seal(settings.home, [Sync("ct", "clevertap", [(2, 1)])])
    damage(plan.folder)
    advice = f"move {plan.folder} out of the outbox: .*plan_missing"
    with pytest.raises(PlanError, match=f"{plan.folder}/{problem}.* Restore it.*{advice}"):
        refresh_ledger_tables(connection, settings.home)
    assert connection.execute("select count(*) from raw.plan_rows").fetchall() == [(0,)]
    plan.folder.rename(settings.home.root / "away")
    refresh_ledger_tables(connection, settings.home)


def test_a_copy_of_a_plan_is_not_taken_for_one_more(
    settings: Settings, connection: DuckDBPyConnection
) -> None:
    plan = seal(settings.home, [Sync("ct", "clevertap", [(2, 1)])])
    shutil.copytree(plan.folder, copy := plan.folder.with_name("copy"))
    with pytest.raises(PlanError, match=f"{copy}/manifest.json is of plan {plan.plan_id}: .*move"):
        refresh_ledger_tables(connection, settings.home)
    shutil.rmtree(copy)
    refresh_ledger_tables(connection, settings.home)
    assert connection.execute("select plan_id from raw.plans").fetchall() == [(plan.plan_id,)]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("garbage\n", "not a ledger line .*restore it from a copy"),
        ("[]\n", "not a ledger line"),
        ("\n", "is empty, as an editor leaves it; delete it"),
    ],
)
def test_a_last_line_that_cannot_be_read_is_named_and_nothing_is_forgotten(
    settings: Settings, connection: DuckDBPyConnection, text: str, problem: str
) -> None:
    plan = seal(settings.home, [Sync("ct", "clevertap", [(2, 1)])])
    path = settings.home.ledger / f"{plan.plan_id}.ndjson"
    path.write_text(lines(1, 3, plan.plan_id), encoding="utf-8")
    refresh_ledger_tables(connection, settings.home)
    with path.open("a", encoding="utf-8") as file:
        file.write(text)
    with pytest.raises(LedgerError, match=f"{path}, line 4: {problem}"):
        refresh_ledger_tables(connection, settings.home)
    assert count(connection) == [(3, 3, 3)]
