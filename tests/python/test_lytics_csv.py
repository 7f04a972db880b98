"""The CSV of a Lytics stream that a person uploads by hand says what the requests say."""

import csv
import json
from pathlib import Path

import duckdb

from relay.plan.requests import CutRows
from relay.plan.stream_csv import write_stream_csv

ROWS = [
    (1, {"amplitude_id": "7", "cohort_id": "", "cohort_name": "Old", "cohort_membership": False}),
    (2, {"amplitude_id": "7", "user_id": 'a "b"', "cohort_membership": True, "City": "Graz"}),
    (2, {"amplitude_id": "9", "cohort_membership": True, "city": "Wien, 3\nx", "~a/'b": "é🎧"}),
]


def _written(folder: Path, phase: int) -> list[dict[str, str]]:
    connection = duckdb.connect()
    connection.execute("create table sealed_rows (phase int, position int, record varchar)")
    for position, (row_phase, row) in enumerate(ROWS):
        record = json.dumps(row, ensure_ascii=False)
        connection.execute(
            "insert into sealed_rows values (?, ?, ?)", [row_phase, position, record]
        )
    path = folder / f"{phase}.csv"
    rows_of_sync = CutRows("sealed_rows", "order by position", None)
    written = write_stream_csv(connection, rows_of_sync, phase, path)
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert written == len(rows)
    return rows


def test_a_column_is_a_field_and_a_missing_one_is_empty(tmp_path: Path) -> None:
    first, second = _written(tmp_path, 2)
    assert list(first)[:7] == [
        "amplitude_id",
        "user_id",
        "cohort_id",
        "cohort_name",
        "cohort_membership",
        "last_computed",
        "synced_at",
    ]
    assert list(first)[7:] == ["City", "city", "~a/'b"]
    assert (first["user_id"], first["City"], first["city"]) == ('a "b"', "Graz", "")
    assert (second["city"], second["~a/'b"]) == ("Wien, 3\nx", "é🎧")
    assert second["cohort_membership"] == "true"


def test_removals_and_ended_names_are_a_file_of_their_own(tmp_path: Path) -> None:
    (row,) = _written(tmp_path, 1)
    assert (row["cohort_name"], row["cohort_id"], row["cohort_membership"]) == ("Old", "", "false")
