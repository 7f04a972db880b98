import gzip
import json
from typing import Any

import httpx
import pytest

from relay.emulate import Emulators
from relay.emulate.lytics.expressions import parse

Row = dict[str, Any]


class Api:
    def __init__(self, emulators: Emulators, client: httpx.Client) -> None:
        self._client = client
        self.api = emulators.environ["LYTICS_API_URL"]
        self.bulk = emulators.environ["LYTICS_BULK_URL"]
        self.token = emulators.environ["LYTICS_API_TOKEN"]

    def rows(self, stream: str, *rows: Row, **query: str) -> httpx.Response:
        return self.send(
            f"{self.api}/collect/json/{stream}", json.dumps(rows), "application/json", query
        )

    def csv(self, stream: str, text: str | bytes, **query: str) -> httpx.Response:
        return self.send(f"{self.bulk}/collect/bulk/{stream}", text, "application/csv", query)

    def send(
        self, url: str, body: str | bytes, kind: str, query: dict[str, str], **headers: str
    ) -> httpx.Response:
        given = {"Authorization": self.token, "Content-Type": kind, **headers}
        return self._client.post(url, content=body, params=query, headers=given)


@pytest.fixture
def api(emulators: Emulators, client: httpx.Client) -> Api:
    return Api(emulators, client)


def member(amplitude_id: str, cohort: str, state: bool, at: str, **more: Any) -> Row:
    return {
        "amplitude_id": amplitude_id,
        "cohort_id": cohort,
        "cohort_name": f"Name of {cohort}",
        "cohort_membership": state,
        "last_computed": "2026-03-01T00:00:00Z",
        "synced_at": at,
        **more,
    }


def test_success_echoes_what_was_asked(api: Api) -> None:
    row = member("201", "c1", True, "2026-03-02T12:00:00Z")
    answer = api.rows("amplitude_cohorts", row, timestamp_field="synced_at", filename="f.json")
    assert (answer.status_code, answer.json()) == (
        200,
        {
            "status": 200,
            "message": "success",
            "data": {
                "message_count": 1,
                "rejected_count": 0,
                "content-type": "application/json",
                "droperrors": False,
                "dryrun": False,
                "timestamp_field": "synced_at",
                "filename": "f.json",
            },
        },
    )


def test_membership_is_a_map_and_the_newest_time_wins(api: Api, emulators: Emulators) -> None:
    def put(*rows: Row) -> None:
        api.rows("amplitude_cohorts", *rows, timestamp_field="synced_at")

    put(member("201", "c1", True, "2026-03-02T12:00:01Z", user_id="Abe", region="Kerala"))
    put(member("201", "c2", True, "2026-03-02T12:00:01Z"))
    put(member("201", "c1", False, "2026-03-02T12:00:00Z"))
    both = {("amplitude_id", "201"), ("amplitude_user_id", "Abe")}
    assert emulators.lytics.members("c1") == both, "an older removal changes nothing"
    put(member("201", "c1", False, "2026-03-02T12:00:02Z"))
    assert emulators.lytics.members("c1") == set()
    profile = emulators.lytics.profile("amplitude_user_id", "Abe")
    assert profile == {
        "amplitude_cohort_ids": {"c1": False, "c2": True},
        "amplitude_cohort_names": {"Name of c1": False, "Name of c2": True},
        "amplitude_id": "201",
        "amplitude_last_computed": "2026-03-01T00:00:00Z",
        "amplitude_user_id": "Abe",
        "region": "Kerala",
        "state": "Kerala",
    }


def test_one_row_with_two_ids_stitches_profiles(api: Api, emulators: Emulators) -> None:
    events: list[Row] = [
        {"amplitude_id": 201, "event_type": "Play"},
        {"user_id": "Abe", "event_type": "Play"},
        {"user_id": "Abe", "event_type": "Buy"},
    ]
    api.rows("amplitude_events", *events)
    assert len(emulators.lytics.state()["profiles"]) == 2
    api.rows("amplitude_events", {"amplitude_id": "201", "user_id": "Abe"})
    (profile,) = emulators.lytics.state()["profiles"]
    assert profile["unique_ids"] == [["amplitude_id", "201"], ["amplitude_user_id", "Abe"]]
    assert profile["fields"]["amplitude_events"] == {"Play": 2, "Buy": 1}
    api.rows("amplitude_events", events[2])
    counts = emulators.lytics.state()["profiles"][0]["fields"]["amplitude_events"]
    assert counts["Buy"] == 2, "a repeat counts again"
    api.rows("amplitude_events", {"event_type": "Play", "amplitude_id": ""})
    assert emulators.lytics.state()["unidentified"] == 1


def test_events_are_mapped_as_the_page_says(api: Api, emulators: Emulators) -> None:
    row = {
        "amplitude_id": "7",
        "app": 829528,
        "paying": True,
        "location_lat": "18.52",
        "event_time": "2026-01-31 10:00:00.123000",
        "client_event_time": "2026-01-31T10:00:00Z",
        "event_properties.genre": "jazz",
        "event_properties.seconds": 31,
        "event_properties.": "lost",
        "user_properties.tags": '["a"]',
        "uuid": "u-1",
    }
    api.rows("amplitude_events", row, timestamp_field="event_time")
    profile = emulators.lytics.profile("amplitude_id", "7")
    assert profile == {
        "amplitude_app": 829528,
        "amplitude_event_properties": {"genre": "jazz", "seconds": "31"},
        "amplitude_event_time": "2026-01-31T10:00:00.123000Z",
        "amplitude_id": "7",
        "amplitude_location_lat": 18.52,
        "amplitude_paying": True,
        "amplitude_user_properties": {"tags": '["a"]'},
    }
    emulators.lytics.map_additional_fields()
    api.rows("amplitude_events", row, timestamp_field="event_time")
    assert emulators.lytics.profile("amplitude_id", "7") == {**profile, "amplitude_uuid": "u-1"}


def test_an_empty_text_wipes_a_field_unless_told_otherwise(api: Api, emulators: Emulators) -> None:
    api.rows("amplitude_cohorts", {"amplitude_id": "7", "city": "Sofia"})
    api.rows("amplitude_cohorts", {"amplitude_id": "7"})
    assert emulators.lytics.profile("amplitude_id", "7") == {"amplitude_id": "7", "city": "Sofia"}
    emulators.lytics.switches.empty_is_missing = True
    api.rows("amplitude_cohorts", {"amplitude_id": "7", "city": ""})
    assert (emulators.lytics.profile("amplitude_id", "7") or {})["city"] == "Sofia"
    emulators.lytics.switches.empty_is_missing = False
    api.rows("amplitude_cohorts", {"amplitude_id": "7", "city": ""})
    assert (emulators.lytics.profile("amplitude_id", "7") or {})["city"] == ""


def test_a_profile_stops_growing_at_fifty_ids(api: Api, emulators: Emulators) -> None:
    api.rows("amplitude_cohorts", *({"user_id": "Abe", "amplitude_id": str(n)} for n in range(60)))
    state = emulators.lytics.state()
    assert len(state["profiles"][0]["unique_ids"]) == 50
    assert state["oversized"] == 11


def test_csv_stops_at_the_first_bad_row_and_keeps_the_rest(api: Api, emulators: Emulators) -> None:
    text = "amplitude_id,city\n1,Sofia\n2\n3,Pune\n"
    answer = api.csv("amplitude_cohorts", text, dryrun="true")
    assert (answer.status_code, answer.json()) == (
        400,
        {
            "data": None,
            "message": "line 3: wrong number of fields: 1 instead of 2",
            "status": 400,
        },
    )
    assert emulators.lytics.state()["rows"] == {}
    api.csv("amplitude_cohorts", text)
    assert emulators.lytics.state()["rows"] == {"amplitude_cohorts": 1}
    emulators.lytics.switches.prefix_kept = False
    api.csv("amplitude_cohorts", text)
    assert emulators.lytics.state()["rows"] == {"amplitude_cohorts": 1}
    dropped = api.csv("amplitude_cohorts", text, droperrors="true").json()["data"]
    assert (dropped["message_count"], dropped["rejected_count"]) == (2, 1)


def test_bulk_takes_gzip_json_lines_headers_and_delimiters(api: Api, emulators: Emulators) -> None:
    url = f"{api.bulk}/collect/bulk/amplitude_cohorts"
    lines = b'{"amplitude_id": "1"}\n{"amplitude_id": "2"}\n'
    kind = "application/json"
    packed = api.send(url, gzip.compress(lines), kind, {}, **{"Content-Encoding": "gzip"})
    assert packed.json()["data"]["message_count"] == 2
    api.csv(
        "amplitude_cohorts",
        "3|Pune\n",
        headers="amplitude_id,city",
        delimiter="|",
        append='{"country": "India"}',
    )
    profile = emulators.lytics.profile("amplitude_id", "3")
    assert profile == {"amplitude_id": "3", "city": "Pune", "country": "India"}


def test_requests_that_are_not_right(api: Api) -> None:
    def refused(answer: httpx.Response) -> tuple[int, str]:
        body = answer.json()
        assert body["data"] is None
        assert body["status"] == answer.status_code
        return answer.status_code, body["message"]

    good = {"amplitude_id": "1"}
    stream = "amplitude_cohorts"
    url = f"{api.api}/collect/json/{stream}"
    assert refused(api.rows(stream, {"x": [{"y": 1}]})) == (
        400,
        "record 1: objects inside the array x",
    )
    assert refused(api.send(url, "{", "application/json", {})) == (400, "invalid JSON")
    assert refused(api.send(url, "[]", "text/csv", {}))[0] == 400
    missing = refused(api.rows(stream, good, timestamp_field="synced_at"))
    assert missing == (400, "timestamp_field: there is no column synced_at")
    assert refused(api.rows(stream, {"x": "y" * 10_000_000}))[0] == 413
    assert refused(api.send(url, "[]", "application/json", {}, Authorization="Bearer x")) == (
        401,
        "Not authorized",
    )
    assert refused(api.send(api.api + "/collect/bulk/x", "a\n", "application/csv", {}))[0] == 404


def test_ordered_refusals_show_in_the_count(api: Api, emulators: Emulators) -> None:
    emulators.lytics.faults.add("partial", "json", positions=(0,))
    rows = [{"amplitude_id": "1"}, {"amplitude_id": "2"}]
    dry = api.rows("amplitude_cohorts", *rows, dryrun="true").json()["data"]
    assert (dry["message_count"], dry["rejected_count"], dry["dryrun"]) == (2, 0, True)
    real = api.rows("amplitude_cohorts", *rows).json()["data"]
    assert (real["message_count"], real["rejected_count"]) == (1, 1)
    assert emulators.lytics.profile("amplitude_id", "1") is None


@pytest.mark.parametrize(
    "text", ["map(a)", "todate(2006, a)", 'todate("15:04", a)', "match(a)", "sum(a)", "a b"]
)
def test_an_expression_outside_the_grammar_is_an_error(text: str) -> None:
    with pytest.raises(ValueError, match=r"not a|expected a"):
        parse(text)


def test_expressions_give_what_the_engine_gives() -> None:
    assert parse("map(k, v)")({"k": "a", "v": False}) == {"a": False}
    assert parse("map(k, v)")({"k": "a", "v": ""}) is None
    assert parse("map(k, v)")({"k": "", "v": 6}) is None
    layout = parse('todate("2006-01-02 15:04:05.000000", t)')
    assert layout({"t": "2026-01-31 10:00:00.123"}) is None
    assert layout({"t": "2026-01-31 10:00:00.123000"}) is not None
    assert parse("valuect(e)")({"e": ""}) is None
