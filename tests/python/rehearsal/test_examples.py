"""The hand-made exports say what their README promises."""

import gzip
import importlib.util
import io
import json
import zipfile
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from rehearsal.resolver import Resolver, evidence
from relay.rehearsal.addressing import Key
from relay.rehearsal.amplitude_ids import Merge

EXAMPLES = Path(__file__).parents[3] / "examples" / "exports"
NOBODY = ["no_key", "unidentifiable"]


def rows(*days: str) -> list[dict[str, Any]]:
    lines = "".join((EXAMPLES / f"events_{day}.json").read_text() for day in days).splitlines()
    return [json.loads(line) for line in lines]


def members(day: str) -> list[tuple[str, str]]:
    lines = (EXAMPLES / f"cart_drop_off_{day}.csv").read_text().splitlines()
    pairs = [[field.strip('"') for field in line.split(",")] for line in lines[1:]]
    return [(amplitude_id, user_id) for amplitude_id, user_id in pairs]


def merges() -> list[Merge]:
    row = json.loads((EXAMPLES / "merged_ids_2026-06-17.json").read_text())
    return [
        Merge(
            row["amplitude_id"],
            row["merged_amplitude_id"],
            row["merge_time"],
            row["merge_server_time"],
        )
    ]


def keys(resolver: Resolver, day: str) -> tuple[set[Key], list[str]]:
    persons = [resolver.person_of(*member) for member in members(day)]
    found = [resolver.clevertap(person) if person else "unidentifiable" for person in persons]
    return (
        {key for key in found if isinstance(key, Key)},
        [word for word in found if isinstance(word, str)],
    )


@pytest.mark.parametrize("with_merges", [True, False])
def test_each_evening_has_the_keys_the_readme_names(with_merges: bool) -> None:
    first, second = "2026-06-16", "2026-06-17"
    before = Resolver(evidence(rows(first), [(f"{first} 20:00", members(first))]), [])
    assert keys(before, first) == (
        {
            Key("identity", "ann@shop.example"),
            Key("object_id", "ipad-7"),
            Key("identity", "chloë-77"),
            Key("object_id", "laptop-5d2b"),
            Key("identity", "cust-000417"),
        },
        NOBODY,
    )
    after = Resolver(
        evidence(
            rows(first, second),
            [(f"{first} 20:00", members(first)), (f"{second} 20:00", members(second))],
        ),
        merges() if with_merges else [],
    )
    assert keys(after, second) == (
        {
            Key("identity", "ann@shop.example"),
            Key("identity", "bo.larsen"),
            Key("identity", "chloë-77"),
            Key("identity", "esra.k"),
        },
        NOBODY,
    )


@pytest.fixture(scope="module")
def build() -> ModuleType:
    spec = importlib.util.spec_from_file_location("examples_build", EXAMPLES / "build.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_packed_files_hold_the_readable_rows(build: ModuleType) -> None:
    for name in build.packed():
        assert (EXAMPLES / name).exists(), f"run examples/exports/build.py: {name} is missing"
    for day in ("2026-06-16", "2026-06-17"):
        with zipfile.ZipFile(EXAMPLES / f"events_{day}.zip") as archive:
            packed = b"".join(gzip.decompress(archive.read(name)) for name in archive.namelist())
        assert packed.decode() == (EXAMPLES / f"events_{day}.json").read_text()
    packed = gzip.decompress((EXAMPLES / "-36958_2026-06-17_10.json.gz").read_bytes())
    assert packed == (EXAMPLES / "merged_ids_2026-06-17.json").read_bytes()


def test_the_archives_are_packed_as_amplitude_does(build: ModuleType) -> None:
    content = build.packed()["events_2026-06-16.zip"]
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert archive.namelist() == [
            "829528/829528_2026-06-16_9#0.json.gz",
            "829528/829528_2026-06-16_11#0.json.gz",
            "829528/829528_2026-06-16_12#0.json.gz",
            "829528/829528_2026-06-16_13#0.json.gz",
        ]


def test_each_row_has_the_55_keys_in_order() -> None:
    for row in rows("2026-06-16", "2026-06-17"):
        assert len(row) == 55
        assert list(row) == sorted(row)
