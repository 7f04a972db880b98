"""A world on disk."""

import csv
import gzip
import json
import zipfile
from pathlib import Path

from click.testing import CliRunner

from relay.rehearsal.world import World
from relay.rehearsal.write import main, write_world

SMALL = ["--people", "160", "--days", "3", "--events-per-person", "4"]


def test_a_folder_holds_what_the_world_says(tmp_path: Path) -> None:
    world = World(people=160, days=3, events_per_person=4)
    written = write_world(world, tmp_path)
    assert sorted(written) == sorted(path for path in tmp_path.rglob("*") if path.is_file())
    lines = []
    for path in sorted(tmp_path.glob("step-*/events/*.zip")):
        with zipfile.ZipFile(path) as archive:
            for name in archive.namelist():
                lines += gzip.decompress(archive.read(name)).decode().splitlines()
    assert sorted(lines) == sorted(line for hour in world.at(3).hours() for line in hour.lines)
    listed = json.loads((tmp_path / "step-2/cohorts/cohorts.json").read_text())["cohorts"]
    for cohort in listed:
        path = tmp_path / "step-2" / "cohorts" / f"{cohort['id']}.csv"
        if cohort["size"] is None:
            assert not path.exists()
        else:
            assert len(list(csv.DictReader(path.open()))) == cohort["size"]
    truth = json.loads((tmp_path / "step-2/truth/clevertap-1638361188.json").read_text())
    assert len(truth["keys"]) == len(truth["unchanged"]) + len(truth["added"])


def test_the_command_writes_the_same_bytes_again(tmp_path: Path) -> None:
    for name in ("one", "two"):
        result = CliRunner().invoke(main, ["--out", str(tmp_path / name), *SMALL])
        assert result.exit_code == 0, result.output
    one, two = tmp_path / "one", tmp_path / "two"
    files = [path.relative_to(one) for path in one.rglob("*") if path.is_file()]
    assert files
    assert all((one / path).read_bytes() == (two / path).read_bytes() for path in files)


def test_a_world_that_cannot_be_is_a_wrong_call(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["--out", str(tmp_path), "--people", "3"])
    assert result.exit_code == 2
    assert "at least 160 people" in result.output
