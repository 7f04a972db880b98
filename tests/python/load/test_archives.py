"""Archives that are whole, and archives that are not: every line is accounted for, or the file is
refused by name and nothing of it is stored.
"""

import gzip
import hashlib
import io
import random
import re
import tracemalloc
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
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
    packed,
    shared_warehouse,
)
from relay.errors import InputFileError
from relay.load.event_files import StoredFile, content_sha256, store_file
from relay.load.landing import Landed
from relay.load.members import members_of, natural_order
from relay.load.units import ahead, units_of
from relay.warehouse import transaction

Members = Sequence[tuple[str, bytes]]


def load(path: Path) -> StoredFile:
    connection = empty_warehouse()
    content = path.read_bytes()
    landed = Landed(path, f"files/{path.name}", hashlib.sha256(content).hexdigest(), len(content))
    with transaction(connection):
        return store_file(connection, landed, now=NOW)


def refused(path: Path) -> InputFileError:
    with pytest.raises(InputFileError) as caught:
        load(path)
    assert path.name in str(caught.value)
    found = shared_warehouse().execute(
        "select (select count(*) from raw.amplitude_events)"
        " + (select count(*) from raw.rejected_rows)"
    )
    assert found.fetchall() == [(0,)]
    return caught.value


def made(path: Path, members: Members, **how: Any) -> Path:
    path.write_bytes(archive(members, **how))
    return path


@pytest.mark.parametrize("deflated", [False, True])
def test_a_whole_archive_is_loaded_with_the_place_of_each_line(
    tmp_path: Path, deflated: bool
) -> None:
    members = [
        ("829528/", b""),
        (member_name(HOUR.replace(hour=11)), packed(lines([event(3), event(4)]))),
        (member_name(), packed(lines([event(1), event(2)]))),
        (member_name(partition=1), packed(b"")),
        ("829528/829528_2026-03-01_complete", b""),
        ("__MACOSX/._x", b"finder"),
    ]
    stored = load(made(tmp_path / "a.zip", members, deflated=deflated))
    assert (stored.counts.rows, stored.counts.loaded) == (4, 4)
    found = (
        shared_warehouse()
        .execute("select source_file, line_number from raw.amplitude_events order by 1, 2")
        .fetchall()
    )
    first = f"files/a.zip/{member_name()}"
    second = f"files/a.zip/{member_name(HOUR.replace(hour=11))}"
    assert found == [(first, 1), (first, 2), (second, 1), (second, 2)]
    assert stored.hours == {HOUR: 4}


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.json.gz", packed(lines([event(1), event(2)]))),
        ("a.json.gz", packed(line(event(1))) + packed(line(event(2))) + b"\0\0"),
        ("a.json", lines([event(1), event(2)])),
        ("a.json", b"\xef\xbb\xbf" + lines([event(1), event(2)])),
        ("a.json", packed(lines([event(1), event(2)]))),
        ("a.json.gz", packed(b"\xef\xbb\xbf" + lines([event(1), event(2)])[:-1])),
    ],
)
def test_files_of_other_forms_are_loaded(tmp_path: Path, name: str, content: bytes) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    assert load(path).counts.loaded == 2


def test_members_of_one_name_and_swapped_members_are_all_read(tmp_path: Path) -> None:
    name = member_name()
    members = [(name, packed(line(event(1)))), (name, packed(line(event(2)))), ("x/y.json", b"bad")]
    with pytest.warns(UserWarning, match="Duplicate name"):
        path = made(tmp_path / "a.zip", members)
    counts = load(path).counts
    assert (counts.rows, counts.loaded, counts.rejected) == (3, 2, 1)


def _gap(members: Members) -> bytes:
    """An archive whose directory has lost its second entry."""
    whole = archive(members)
    with zipfile.ZipFile(io.BytesIO(whole)) as file:
        entries = file.infolist()
        start = file.start_dir
    directory = whole[start:]
    sizes = [46 + len(entry.filename.encode()) for entry in entries]
    cut = directory[: sizes[0]] + directory[sizes[0] + sizes[1] :]
    end = cut.rindex(b"PK\x05\x06")
    count = (len(entries) - 1).to_bytes(2, "little")
    size = end.to_bytes(4, "little")
    return whole[:start] + cut[: end + 8] + count + count + size + cut[end + 16 :]


THREE = [(member_name(HOUR.replace(hour=h)), packed(lines([event(h)]))) for h in (1, 2, 3)]
GZIP = packed(lines([event(1), event(2)]))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.zip", b""),
        ("a.zip", b'{"error": "not a zip"}'),
        ("a.zip", archive(THREE)[:-30]),
        ("a.zip", archive(THREE)[100:]),
        ("a.zip", archive(THREE)[: len(archive(THREE)) // 2]),
        ("a.zip", b"\0" * 64 + archive(THREE)),
        ("a.zip", _gap(THREE)),
        ("a.zip", archive([*THREE, ("829528/notes.txt", b"hello")])),
        ("a.zip", archive([*THREE, ("829528/", b"content of a folder")])),
        ("a.zip", archive([*THREE, (member_name(), b"")])),
        ("a.zip", archive([*THREE, (member_name(), b"plain text")])),
        ("a.zip", archive([*THREE, (member_name(), GZIP[:-1])])),
        ("a.zip", archive([*THREE, (member_name(), GZIP[:-8])])),
        ("a.zip", archive([*THREE, (member_name(), GZIP[:-8] + bytes(8))])),
        ("a.zip", archive([*THREE, (member_name(), GZIP + b"garbage")])),
        ("a.json.gz", b""),
        ("a.json.gz", b"plain text"),
        ("a.json.gz", GZIP[:-1]),
        ("a.json.gz", GZIP[: len(GZIP) // 2]),
        ("a.json.gz", GZIP[:-8] + b"\0\0\0\0" + GZIP[-4:]),
        ("a.json.gz", GZIP[:-4] + b"\0\0\0\0"),
        ("a.json.gz", GZIP + GZIP[:-3]),
    ],
)
def test_what_is_cut_off_or_damaged_is_refused(tmp_path: Path, name: str, content: bytes) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    assert re.search(r"fetch|only \.json\.gz and \.json", str(refused(path)))


def _body(chance: random.Random) -> tuple[bytes, int]:
    """Some lines, good and bad, and how many are no blank ones."""
    pieces, count = [], 0
    for _ in range(chance.randrange(12)):
        kind = chance.random()
        if kind < 0.1:
            pieces.append(chance.choice([b"\n", b"\r\n", b"  \n"]))
            continue
        count += 1
        if kind < 0.6:
            pieces.append(line(event(chance.randrange(30))))
        elif kind < 0.65:
            pieces.append(line(event(chance.randrange(30)))[:-1] + b"\r\n")
        elif kind < 0.66:
            pieces.append(line(event(chance.randrange(30), city="x" * 1_000_000)))
        elif kind < 0.68:
            pieces.append(b'{"deep":' + b"[" * 5_000 + b"]" * 5_000 + b"}\n")
        elif kind < 0.7:
            pieces.append(line(event(chance.randrange(30), city="a\0b")))
        elif kind < 0.8:
            pieces.append(line(event(chance.randrange(30), odd=1)))
        else:
            pieces.append(chance.choice([b"bad\n", b"\x00\n", b"\xff\n", b"{}\n", b'{"a":\n']))
    text = (b"\xef\xbb\xbf" if chance.random() < 0.1 else b"") + b"".join(pieces)
    return (text[:-1] if text.endswith(b"}\n") and chance.random() < 0.3 else text), count


def lines_of(path: Path) -> list[tuple[str, int]]:
    """How many lines each member has; names may repeat."""
    return sorted(
        (member.name, b"".join(member.pieces()).count(b"\n")) for member in members_of(path)
    )


@pytest.mark.filterwarnings("ignore:Duplicate name")
@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.integers(0, 2**32), st.data())
def test_a_damaged_archive_is_refused_or_every_line_is_there(
    tmp_path_factory: pytest.TempPathFactory, seed: int, data: st.DataObject
) -> None:
    chance = random.Random(seed)
    members, expected = [], 0
    for partition in range(chance.randrange(1, 4)):
        text, count = _body(chance)
        same = chance.random() < 0.2
        name = member_name(partition=0 if same else partition)
        members.append((name, gzip.compress(text, 1)))
        expected += count
    if chance.random() < 0.3:
        members += [("829528/", b""), (member_name(partition=9), packed(b""))]
    chance.shuffle(members)
    is_zip = data.draw(st.booleans())
    content = (
        archive(members, deflated=chance.random() < 0.3)
        if is_zip
        else next(body for _, body in members if body)
    )
    whole = tmp_path_factory.getbasetemp() / ("whole.zip" if is_zip else "whole.json.gz")
    whole.write_bytes(content)
    lines_there = lines_of(whole)
    damaged = bytearray(content)
    kind = data.draw(st.sampled_from(["none", "cut", "flip", "insert", "remove"]))
    at = data.draw(st.integers(0, max(0, len(content) - 1)))
    if kind == "cut":
        del damaged[at:]
    elif kind == "flip":
        damaged[at] ^= 1 << data.draw(st.integers(0, 7))
    elif kind == "insert":
        damaged[at:at] = b"\x55"
    elif kind == "remove":
        del damaged[at]
    path = whole.with_name("damaged" + "".join(whole.suffixes))
    path.write_bytes(damaged)
    try:
        counts = load(path).counts
    except InputFileError:
        refused(path)
        assert kind != "none"
        return
    # What is not refused is what it was: the damage was in what nobody reads.
    assert lines_of(path) == lines_there
    if is_zip:
        assert counts.rows == expected
    assert counts.loaded + counts.duplicates + counts.rejected == counts.rows


def test_the_content_of_an_archive_is_its_members(tmp_path: Path) -> None:
    def landed(name: str, members: Members, **how: Any) -> Landed:
        path = made(tmp_path / name, members, **how)
        return Landed(path, name, hashlib.sha256(path.read_bytes()).hexdigest(), 1)

    one = landed("1.zip", THREE)
    later = landed("2.zip", THREE, made_at=NOW.replace(hour=20))
    other = landed("3.zip", THREE[:2])
    assert one.sha256 != later.sha256
    assert content_sha256(one) == content_sha256(later) != content_sha256(other)


def test_hours_are_in_their_order_although_names_are_not_padded() -> None:
    names = [
        f"1_2026-03-01_{hour}#{part}.json.gz" for hour in (0, 2, 10, 23) for part in (0, 1, 12)
    ]
    assert sorted(random.Random(1).sample(names, len(names)), key=natural_order) == names


def test_memory_does_not_follow_the_size_of_a_file() -> None:
    def peak(count: int) -> int:
        text = line(event(1)) * 200
        pieces: Iterator[bytes] = (text for _ in range(count))
        tracemalloc.start()
        for _ in units_of([("a", pieces)], unit_bytes=1 << 20):
            pass
        top = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return top

    assert peak(160) < 1.2 * peak(40)


def test_an_error_comes_where_the_item_would_have_and_nothing_is_left_running() -> None:
    closed = []

    def items() -> Iterator[int]:
        try:
            yield 1
            yield 2
            raise InputFileError("x", "is bad")
        finally:
            closed.append(True)

    seen: list[int] = []
    with pytest.raises(InputFileError):
        seen.extend(ahead(items()))
    assert (seen, closed) == ([1, 2], [True])
    stopped = ahead(items())
    assert next(stopped) == 1
    stopped.close()  # type: ignore[attr-defined]
    assert closed == [True, True]
