"""Pack the readable rows of this folder the way Amplitude delivers them.

Run it from the project root with `.venv/bin/python examples/exports/build.py`. The same rows give
the same bytes, so running it again changes nothing unless a `.json` file was edited.
"""

import json
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path

from relay.rehearsal.archives import ExportHour, export_archive, gzip_lines, merge_file_name

HERE = Path(__file__).parent
PROJECT = 829528
ORGANISATION = 36958
DAYS = ("2026-06-16", "2026-06-17")


def export_hours(lines: list[str]) -> list[ExportHour]:
    """Rows by the hour of their `server_upload_time`, which is what Amplitude cuts files by."""

    def hour_of(line: str) -> datetime:
        uploaded_at = datetime.fromisoformat(json.loads(line)["server_upload_time"])
        return uploaded_at.replace(minute=0, second=0, microsecond=0, tzinfo=UTC)

    return [
        ExportHour(PROJECT, hour, list(rows))
        for hour, rows in groupby(sorted(lines, key=hour_of), hour_of)
    ]


def packed() -> dict[str, bytes]:
    """Every packed file of this folder: its name and its bytes."""
    files = {}
    for day in DAYS:
        lines = (HERE / f"events_{day}.json").read_text().splitlines()
        requested_at = datetime.fromisoformat(f"{day}T23:00:00+00:00")
        files[f"events_{day}.zip"] = export_archive(export_hours(lines), requested_at=requested_at)
    merged = (HERE / "merged_ids_2026-06-17.json").read_text().splitlines()
    merged_at = datetime.fromtimestamp(json.loads(merged[0])["merge_server_time"] / 1000, tz=UTC)
    files[merge_file_name(ORGANISATION, merged_at)] = gzip_lines(merged)
    return files


if __name__ == "__main__":
    for name, content in packed().items():
        (HERE / name).write_bytes(content)
