"""The bytes of Amplitude's files."""

import gzip
import io
import json
import struct
import zipfile
from datetime import UTC, datetime

from relay.rehearsal.amplitude_ids import Merge
from relay.rehearsal.archives import (
    ExportHour,
    cohort_csv,
    export_archive,
    gzip_lines,
    merge_file,
    merge_file_name,
)

NINE = datetime(2026, 6, 16, 9, tzinfo=UTC)


def test_members_are_stored_with_a_data_descriptor() -> None:
    hours = [ExportHour(829528, NINE, ['{"a":"ü"}'])]
    content = export_archive(hours, requested_at=datetime(2026, 6, 17, 1, 2, 4, tzinfo=UTC))
    signature, version, flags, method = struct.unpack("<4sHHH", content[:10])
    checksum, compressed, size, name_length = struct.unpack("<IIIH", content[14:28])
    assert (signature, flags, method) == (b"PK\x03\x04", 0x08, 0)
    assert version == 20
    assert (checksum, compressed, size) == (0, 0, 0)
    assert content[30 : 30 + name_length] == b"829528/829528_2026-06-16_9#0.json.gz"
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert archive.testzip() is None
        (member,) = archive.infolist()
        assert member.date_time == (2026, 6, 17, 1, 2, 4)
        assert gzip.decompress(archive.read(member)) == '{"a":"ü"}\n'.encode()


def test_a_busy_hour_has_several_part_files_and_loses_no_line() -> None:
    lines = [str(number) for number in range(101)]
    parts = dict(ExportHour(829528, NINE, lines).members())
    assert list(parts) == [
        "829528/829528_2026-06-16_9#0.json.gz",
        "829528/829528_2026-06-16_9#1.json.gz",
    ]
    found = [line for part in parts.values() for line in gzip.decompress(part).decode().split()]
    assert sorted(found, key=int) == lines


def test_gzip_members_carry_no_time() -> None:
    assert gzip_lines(["x"])[4:8] == bytes(4)


def test_every_field_of_a_cohort_file_is_quoted() -> None:
    rows = [("356896327775", ""), ("1", 'a "b", c')]
    assert cohort_csv(rows, ("amplitude_id", "user_id")) == (
        b'"amplitude_id","user_id"\n"356896327775",""\n"1","a ""b"", c"\n'
    )


def test_a_merged_id_file_is_of_the_organisation() -> None:
    assert merge_file_name(36958, NINE) == "-36958_2026-06-16_9.json.gz"
    row = json.loads(gzip.decompress(merge_file(36958, [Merge(9, 8, 1, 2)])))
    assert row == {
        "scope": -36958,
        "merge_time": 1,
        "merge_server_time": 2,
        "amplitude_id": 9,
        "merged_amplitude_id": 8,
    }
