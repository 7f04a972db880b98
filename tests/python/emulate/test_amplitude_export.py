import gzip
import io
import json
import zipfile
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from emulate.conftest import NOON
from relay.emulate import Emulators
from relay.emulate.amplitude.archive import Shape
from relay.emulate.amplitude.rows import UNSET

Get = dict[str, str]
PROJECT = "829528"
NOT_FOUND = {
    "error": {
        "http_code": 404,
        "type": "unspecified",
        "message": "Unspecified Error",
        "metadata": {"details": "Raw data files were not found."},
    }
}


def export(
    client: httpx.Client, emulators: Emulators, start: str, end: str | None = None
) -> httpx.Response:
    environ = emulators.environ
    return client.get(
        environ["AMPLITUDE_API_URL"] + "/api/2/export",
        params={"start": start, "end": end or start},
        auth=(environ["AMPLITUDE_API_KEY"], environ["AMPLITUDE_SECRET_KEY"]),
    )


def members(answer: httpx.Response) -> dict[str, list[bytes]]:
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        return {
            name: gzip.decompress(archive.read(name)).splitlines(keepends=True)
            for name in archive.namelist()
            if not name.endswith("/")
        }


def event(hour: int, minute: int = 0) -> dict[str, object]:
    moment = datetime(2026, 3, 2, hour, minute, tzinfo=UTC)
    return {"event_type": "Play", "user_id": "Ada", "event_time": moment, "amplitude_id": 7}


def test_an_archive_has_the_recorded_shape(emulators: Emulators, client: httpx.Client) -> None:
    emulators.amplitude.add_events(PROJECT, [event(8), event(8, 1)])
    answer = export(client, emulators, "20260302T08")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/zip"
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        (entry,) = archive.infolist()
    assert entry.filename == "829528/829528_2026-03-02_8#0.json.gz"
    assert entry.compress_type == zipfile.ZIP_STORED
    assert entry.flag_bits & 0x08
    local_sizes = answer.content[14:26]
    assert local_sizes == bytes(12), "crc and sizes stand behind the data"
    (lines,) = members(answer).values()
    assert len(lines) == 2
    assert lines[-1].endswith(b"\n")
    row = json.loads(lines[0])
    assert list(row) == sorted(UNSET)
    assert len(row) == 55
    assert row["server_upload_time"] == "2026-03-02 08:00:00.000000"


def test_partitions_folders_and_deflated_members_come_on_demand(
    emulators: Emulators, client: httpx.Client
) -> None:
    emulators.amplitude.add_events(PROJECT, [event(8, minute) for minute in range(5)])
    emulators.amplitude.switches.archive = Shape(
        lines_per_member=2, first_partition=1, deflated=True, folders=True
    )
    answer = export(client, emulators, "20260302T08")
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        names = archive.namelist()
        methods = {one.compress_type for one in archive.infolist() if not one.is_dir()}
    hour = "829528/829528_2026-03-02_8"
    assert names == ["829528/", *(f"{hour}#{number}.json.gz" for number in (1, 2, 3))]
    assert methods == {zipfile.ZIP_DEFLATED}
    assert [len(lines) for lines in members(answer).values()] == [2, 2, 1]


def test_both_ends_count_and_young_hours_are_hidden(
    emulators: Emulators, client: httpx.Client
) -> None:
    emulators.amplitude.add_events(PROJECT, [event(hour) for hour in (6, 7, 8, 9, 10)])
    answer = export(client, emulators, "20260302T07", "20260302T10")
    hours = [name.rpartition("_")[2] for name in members(answer)]
    assert hours == ["7#0.json.gz", "8#0.json.gz", "9#0.json.gz"]
    young = export(client, emulators, "20260302T10")
    assert (young.status_code, young.json()) == (404, NOT_FOUND)
    assert young.headers["content-type"] == "application/json; charset=utf-8"
    emulators.clock.advance(timedelta(hours=1))
    assert export(client, emulators, "20260302T10").status_code == 200


def test_lines_by_hour_and_ready_members_pass_unread(
    emulators: Emulators, client: httpx.Client
) -> None:
    emulators.amplitude.add_events(PROJECT, {"20260302T05": ["not json", b'{"uuid": 1}\n']})
    emulators.amplitude.add_export_member(PROJECT, "2026-03-02T05", b"not gzip")
    answer = export(client, emulators, "20260302T05")
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        bodies = [archive.read(name) for name in archive.namelist()]
    assert bodies[0] == b"not gzip"
    assert gzip.decompress(bodies[1]) == b'not json\n{"uuid": 1}\n'


@pytest.mark.parametrize(
    ("start", "end", "details"),
    [
        ("2026030200", "20260302T01", "Invalid start: 2026030200"),
        ("20260302T24", "20260302T24", "Invalid start: 20260302T24"),
        ("20260302T02", "20260302T01", "start is after end"),
        ("20250302T00", "20260302T00", "The range is longer than 365 days"),
    ],
)
def test_hours_that_cannot_be_are_400(
    emulators: Emulators, client: httpx.Client, start: str, end: str, details: str
) -> None:
    answer = export(client, emulators, start, end)
    assert answer.status_code == 400
    assert answer.json()["error"]["metadata"]["details"] == details


def test_too_much_is_400_or_504(emulators: Emulators, client: httpx.Client) -> None:
    emulators.amplitude.add_events(PROJECT, [event(8, minute) for minute in range(5)])
    emulators.amplitude.switches.export_max_bytes = 100
    assert export(client, emulators, "20260302T08").status_code == 400
    emulators.amplitude.switches.export_timeout_lines = 4
    assert export(client, emulators, "20260302T08").status_code == 504


def test_wrong_keys_are_403_with_the_envelope(emulators: Emulators, client: httpx.Client) -> None:
    url = emulators.environ["AMPLITUDE_API_URL"] + "/api/2/export?start=20260302T08&end=20260302T08"
    key = emulators.environ["AMPLITUDE_API_KEY"]
    for auth, details in [
        (None, "Invalid API Key"),
        (("other", "x"), "Invalid API Key"),
        ((key, "wrong"), "Invalid API/Secret Key combination"),
    ]:
        answer = client.get(url, auth=auth)
        assert answer.status_code == 403
        assert answer.json()["error"]["metadata"]["details"] == details


def test_state_tells_what_there_is_and_was_asked(
    emulators: Emulators, client: httpx.Client
) -> None:
    emulators.amplitude.add_events(PROJECT, [event(8), event(8), event(9)])
    export(client, emulators, "20260302T08")
    url = emulators.environ["AMPLITUDE_API_URL"] + "/_state"
    state = client.get(url).json()
    assert state["projects"] == {PROJECT: {"2026-03-02T08": 2, "2026-03-02T09": 1}}
    assert state["requests"] == {"export": 1}
    assert state["log"][0]["status"] == 200
    assert client.get(url, params={"only": "requests"}).json() == {"requests": {"export": 1}}
    assert emulators.amplitude.state()["now"] == NOON.isoformat()
