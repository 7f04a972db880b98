from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from relay.emulate import ClevertapSwitches, Emulators

Record = dict[str, Any]


class Api:
    def __init__(self, emulators: Emulators, client: httpx.Client) -> None:
        self._client = client
        self.url = emulators.environ["CLEVERTAP_API_URL"]
        self.headers = {
            "X-CleverTap-Account-Id": emulators.environ["CLEVERTAP_ACCOUNT_ID"],
            "X-CleverTap-Passcode": emulators.environ["CLEVERTAP_PASSCODE"],
        }

    def upload(self, *records: Record, query: str = "") -> httpx.Response:
        return self.post("/1/upload" + query, {"d": list(records)})

    def post(self, path: str, document: Any = None) -> httpx.Response:
        return self._client.post(self.url + path, json=document, headers=self.headers)

    def get(self, path: str) -> httpx.Response:
        return self._client.get(self.url + path, headers=self.headers)


@pytest.fixture
def api(emulators: Emulators, client: httpx.Client) -> Api:
    return Api(emulators, client)


def sync(identity: str, action: str = "Added", ts: int = 1_772_452_800, **more: Any) -> Record:
    data = {
        "Partner Name": "Amplitude",
        "CT Source": "Amplitude",
        "Partner Segment Name": "Cart Drop off",
        "Partner Segment ID": "c1",
        "Action": action,
    }
    record = {"type": "event", "identity": identity, "ts": ts, "evtName": "Partner Sync"}
    return {**record, "evtData": data, **more}


def profile(**data: Any) -> Record:
    return {"type": "profile", "identity": "4", "ts": 1_521_649_274, "profileData": data}


def test_the_three_recorded_answers(api: Api) -> None:
    answer = api.upload(sync("Ada"), sync("Bo"))
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json;charset=utf-8"
    assert answer.json() == {"status": "success", "processed": 2, "unprocessed": []}
    bad = profile(Email="$$$$$", Phone="+35922333232")
    assert api.upload(sync("Ada"), bad).json() == {
        "status": "partial",
        "processed": 1,
        "unprocessed": [
            {
                "status": "fail",
                "code": 515,
                "error": "Profile data is incorrect. Email is not valid.Skipped record number : 2",
                "record": {**bad, "profileData": {"Email": "$$$$$", "Phone": 35922333232}},
            }
        ],
    }
    failed = api.upload(profile(Phone="223")).json()
    assert (failed["status"], failed["processed"]) == ("fail", 0)


@pytest.mark.parametrize(
    ("record", "code", "error"),
    [
        ({"type": "page"}, 524, None),
        ({**sync("x"), "identity": ""}, 523, None),
        ({**sync("x"), "identity": 17}, 523, None),
        ({**sync("x"), "objectId": "543C"}, 523, None),
        ({**sync(""), "objectId": "543C/1"}, 526, None),
        (sync("x", ts=0), 525, "Timestamp should be present in the Unix Epoch format. "),
        (sync("x", ts="1772452800"), 525, None),  # type: ignore[arg-type]
        (sync("x", ts=1_772_452_800_000), 525, None),
        (
            sync("x", evtName=""),
            509,
            "Event Name is incorrect. ErrorCode: 509 - Event name is mandatory. ",
        ),
        (
            sync("x", evtName="web page viewed"),
            513,
            "Event Name is incorrect. ErrorCode: 513 - Trying to raise a restricted system event. ",
        ),
        (sync("x", evtData={"a": {"b": 1}}), 512, None),
        (sync("x", evtData={str(number): 1 for number in range(101)}), 522, None),
        (profile(Phone="123"), 516, "Profile data is incorrect. Phone number is not valid."),
        (profile(Gender="X"), 514, None),
        (profile(Employed="X"), 517, "Profile data is incorrect. Employed needs to be Y/N."),
        (
            profile(Education="X"),
            518,
            "Profile data is incorrect. Education needs to be School/College/Graduate..",
        ),
        (profile(Married="X"), 519, "Profile data is incorrect. Married needs to be Y/N."),
        (profile(Age="old"), 520, "Profile data is incorrect. Age is invalid."),
    ],
)
def test_each_verdict_has_its_code(
    api: Api, emulators: Emulators, record: Record, code: int, error: str | None
) -> None:
    answer = api.upload(profile(Name="x", Age="18"), record).json()
    (entry,) = answer["unprocessed"]
    assert entry["code"] == code
    assert entry["error"].endswith("Skipped record number : 2")
    if error is not None:
        assert entry["error"] == f"{error}Skipped record number : 2"
    assert emulators.clevertap.state()["events"] == []


def test_partner_sync_is_restricted_unless_told_otherwise(api: Api, emulators: Emulators) -> None:
    assert ClevertapSwitches().partner_sync_restricted
    emulators.clevertap.switches.partner_sync_restricted = True
    assert api.upload(sync("Ada")).json()["unprocessed"][0]["code"] == 513
    assert api.upload(sync("Ada", evtName="Cohort Sync")).json()["status"] == "success"
    assert emulators.clevertap.members("c1") == {("identity", "Ada")}


def test_requests_that_are_not_right(api: Api, client: httpx.Client, emulators: Emulators) -> None:
    malformed = {"status": "fail", "error": "Malformed request", "code": 400}
    documents: list[Any] = [None, [], {}, {"d": {}}, {"d": []}, {"d": [sync("x")] * 1001}]
    for document in documents:
        answer = api.post("/1/upload", document)
        assert (answer.status_code, answer.json()) == (400, malformed)
    as_text = client.post(
        api.url + "/1/upload",
        content='{"d": []}',
        headers=api.headers | {"content-type": "text/plain"},
    )
    assert as_text.json() == malformed
    large = sync("x", evtData={"x": "y" * 2_000_000})
    assert api.upload(large).status_code == 413
    assert api.get("/1/upload").json() == {
        "status": "fail",
        "error": "Method Not Allowed",
        "code": 405,
    }
    api.headers["X-CleverTap-Passcode"] = "of another region"
    assert (api.upload(sync("x")).status_code, api.upload(sync("x")).json()["code"]) == (401, 401)
    api.headers["X-CleverTap-Account-Id"] = "unknown"
    assert api.upload(sync("x")).json()["error"] == "Account ID is not valid"


def test_a_dry_run_answers_alike_and_stores_nothing(api: Api, emulators: Emulators) -> None:
    records = (sync("Ada"), sync("Bo", ts=0))
    assert (
        api.upload(*records, query="?dryRun=1").json()
        == api.upload(*records, query="?dryRun=1").json()
    )
    state = emulators.clevertap.state()
    assert (state["profiles"], state["events"]) == ([], [])
    assert state["requests"] == {"upload.dry_run": 2}
    api.upload(*records, query="?dryRun=0")
    assert len(emulators.clevertap.state()["events"]) == 1


def test_the_last_action_by_ts_then_arrival_is_membership(api: Api, emulators: Emulators) -> None:
    members = emulators.clevertap.members
    api.upload(sync("Ada", ts=2), sync("Bo", ts=2), sync("Bo", "Removed", ts=2))
    assert members("c1") == {("identity", "Ada")}
    api.upload(sync("ada", "Removed", ts=1), sync("bo", ts=3))
    assert members("c1") == {("identity", "Ada"), ("identity", "bo")}
    api.upload({**sync(""), "objectId": "543C-3455"})
    assert ("object_id", "543C-3455") in members("c1")
    assert members("other") == set()


def test_case_counts_when_told_so(client: httpx.Client) -> None:
    switches = ClevertapSwitches(partner_sync_restricted=False, identity_ignores_case=False)
    with Emulators(clevertap=switches) as emulators:
        Api(emulators, client).upload(sync("Ada"), sync("ada", "Removed"))
        assert emulators.clevertap.members("c1") == {("identity", "Ada")}


def test_a_sign_in_makes_two_profiles_one(api: Api, emulators: Emulators) -> None:
    api.upload({**sync("", ts=1), "objectId": "pad-1"}, sync("Ada", ts=2))
    emulators.clevertap.add_profile(identity="Ada", object_id="pad-1")
    assert emulators.clevertap.members("c1") == {("identity", "Ada")}
    api.upload({**sync("", "Removed", ts=3), "objectId": "pad-1"})
    assert emulators.clevertap.members("c1") == set(), "the removal takes the person out"


def test_a_repeat_is_stored_twice_and_told(api: Api, emulators: Emulators) -> None:
    api.upload(sync("Ada"))
    emulators.clevertap.faults.add("reset", "upload", stored=True)
    with pytest.raises(httpx.TransportError):
        api.upload(sync("Ada"))
    doubled = emulators.clevertap.doubled()
    assert doubled == [
        {"key": ["identity", "Ada"], "name": "Partner Sync", "ts": 1_772_452_800, "copies": 2}
    ]


def test_ordered_refusals_go_by_position(api: Api, emulators: Emulators) -> None:
    emulators.clevertap.faults.add("partial", "upload", positions=(1,))
    answer = api.upload(sync("Ada"), sync("Bo"), sync("Cy")).json()
    assert [(e["code"], e["error"][-1]) for e in answer["unprocessed"]] == [(555, "2")]
    assert emulators.clevertap.members("c1") == {("identity", "Ada"), ("identity", "Cy")}


def test_lists_on_profiles_follow_their_operators(api: Api, emulators: Emulators) -> None:
    api.upload(profile(Cohorts={"$add": ["a", "b"]}), profile(Cohorts={"$add": ["b", "c"]}))
    api.upload(profile(Cohorts={"$remove": ["a"]}), profile(Points={"$incr": 2}))
    (held,) = emulators.clevertap.state()["profiles"]
    assert held["profileData"] == {"Cohorts": ["b", "c"], "Points": 2}
    api.upload(profile(Cohorts={"$remove": ["b", "c"]}), profile(Phone={"$add": ["x"]}))
    state = emulators.clevertap.state()
    assert state["profiles"][0]["profileData"] == {"Points": 2}
    api.upload(profile(**{"Bad:Key": "v" * 600}))
    assert [warning["warning"] for warning in emulators.clevertap.warnings] == [
        "forbidden character in key Bad:Key",
        "value of Bad:Key over 512 bytes",
    ]


def test_fifteen_uploads_at_once_are_enough(api: Api, emulators: Emulators) -> None:
    emulators.clevertap.latency_seconds = 0.3
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda n: api.upload(sync(f"u{n}")), range(16)))
    refused = [answer for answer in answers if answer.status_code == 429]
    assert [answer.json() for answer in refused] == [
        {"status": "fail", "error": "Too many concurrent requests", "code": 429}
    ]
    assert len(emulators.clevertap.state()["events"]) == 15


def test_a_custom_list_takes_three_calls(
    api: Api, emulators: Emulators, client: httpx.Client
) -> None:
    emulators.clevertap.add_profile(identity="Ada", object_id="pad-1")
    emulators.clevertap.add_profile(identity="Bo")

    def send(csv: str, **more: Any) -> httpx.Response:
        asked = api.post("/get_custom_list_segment_url").json()
        assert asked["status"] == "success"
        url = asked["presignedS3URL"]
        assert client.put(url, content=csv.encode()).status_code == 200
        call = {"name": "L", "email": "a@b.co", "filename": "f.csv", "creator": "x", "url": url}
        return api.post("/upload_custom_list_segment_completed", call | {"replace": True} | more)

    answer = send("Type,Identity\ni,ADA\ng,nobody\n")
    assert answer.json() == {"status": "success", "Segment ID": 1}
    assert emulators.clevertap.list_members("L") == {("identity", "ADA")}
    assert emulators.clevertap.state()["custom_lists"][0]["unknown"] == 1
    send("type,identity\ni,Bo\n")
    assert emulators.clevertap.list_members("L") == {("identity", "Bo")}
    assert send("Type,Identity\ni,Ada\n", replace=False).status_code == 400
    assert send("Identity\nAda\n").status_code == 400
    assert send("Type,Identity\ni,Ada\n", url="http://127.0.0.1/other").status_code == 400
    assert emulators.clevertap.list_members("L") == {("identity", "Bo")}
    url = api.post("/get_custom_list_segment_url").json()["presignedS3URL"]
    emulators.clock.advance(86_401)
    assert client.put(url, content=b"x").status_code == 403


def test_the_events_api_walks_by_cursor(api: Api, emulators: Emulators) -> None:
    moment = datetime(2026, 3, 1, 20, tzinfo=UTC)
    events = [{"ts": moment, "identity": f"u{number}"} for number in range(30)]
    emulators.clevertap.add_events("Charged", events)
    ask = {"event_name": "Charged", "from": 20260302, "to": 20260302}
    begun = api.post("/1/events.json?batch_size=40", ask).json()
    assert begun["status"] == "success"
    assert "%2F" in begun["cursor"]
    page = "/1/events.json?cursor="
    waiting = {
        "status": "fail",
        "error": "Request still in progress, please retry later",
        "code": 2,
    }
    assert api.post("/1/events.json", ask).json() == waiting, "one at a time"
    assert api.get(page + begun["cursor"]).json() == waiting
    first = api.get(page + begun["cursor"]).json()
    assert len(first["records"]) == 23
    assert first["records"][0] == {
        "profile": {"identity": "u0"},
        "ts": 20260302013000,
        "event_props": {},
    }
    api.get(page + first["next_cursor"])
    last = api.get(page + first["next_cursor"]).json()
    assert (len(last["records"]), "next_cursor" in last) == (7, False)
    encoded_twice = begun["cursor"].replace("%", "%25")
    assert api.get(page + encoded_twice).json()["error"] == "Incorrect Usage"
    emulators.clock.advance(3601)
    assert api.get(page + begun["cursor"]).json()["code"] == 3
    empty = api.post("/1/events.json", ask | {"to": 20260303, "from": 20260303}).json()
    api.get(page + empty["cursor"])
    assert api.get(page + empty["cursor"]).json() == {"status": "success"}


def test_the_events_api_refuses_what_only_files_have(api: Api) -> None:
    ask = {"event_name": "Notification Clicked", "from": 20260302, "to": 20260302}
    answer = api.post("/1/events.json", ask)
    assert (answer.status_code, answer.json()) == (
        400,
        {"status": "fail", "error": "Export not allowed for this event", "code": 400},
    )
    unknown = api.post("/1/events.json", ask | {"event_name": "X"})
    assert (unknown.status_code, unknown.json()["error"]) == (200, '["Invalid event : X"]')
    assert api.post("/1/events.json?batch_size=5001", ask).json()["code"] == 3
