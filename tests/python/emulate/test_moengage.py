import json
import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from relay.emulate import Emulators, MoengageSwitches
from relay.emulate.moengage.streams import send_streams

Document = dict[str, Any]


class Api:
    def __init__(self, emulators: Emulators, client: httpx.Client) -> None:
        self._client = client
        environ = emulators.environ
        self.url = environ["MOENGAGE_API_URL"]
        self.workspace = environ["MOENGAGE_WORKSPACE_ID"]
        self.auth: tuple[str, str] | None = (self.workspace, environ["MOENGAGE_API_KEY"])
        self.headers = {"MOE-APPKEY": self.workspace, "MOE-DBNAME": "db"}

    def post(self, path: str, document: Any, **more: Any) -> httpx.Response:
        return self.send("POST", path, json=document, **more)

    def send(self, method: str, path: str, **more: Any) -> httpx.Response:
        headers = self.headers | more.pop("headers", {})
        return self._client.request(
            method, self.url + path, auth=self.auth, headers=headers, **more
        )

    def sync(self, action: str, *uids: str, **more: Any) -> httpx.Response:
        return self.post("/v1/integrations/cohortsync", cohort(action, *uids, **more))


def cohort(action: str, *uids: str, **parameters: Any) -> Document:
    return {
        "action": action,
        "partner": "Amplitude",
        "parameters": {
            "cohort_name": "[Amplitude][Cart Drop off]",
            "cohort_id": "c1",
            "members": [{"uid": uid} for uid in uids],
            **parameters,
        },
    }


@pytest.fixture
def api(emulators: Emulators, client: httpx.Client) -> Api:
    emulators.moengage.add_users(["ada", {"uid": "bo", "moe_anonymous_id": "d-1"}])
    return Api(emulators, client)


def test_members_come_and_go_and_unknown_ones_vanish(api: Api, emulators: Emulators) -> None:
    name = "[Amplitude][Cart Drop off]"
    answer = api.sync("add_members", "ada", "bo", "nobody")
    assert answer.status_code == 200
    accepted = answer.json()
    assert accepted.pop("request_id")
    assert accepted == {
        "status": "success",
        "message": "Your request has been accepted and will be processed soon.",
    }
    assert emulators.moengage.members(name) == {"ada", "bo"}
    api.sync("add_members", "ada")
    api.sync("remove_members", "bo", "nobody")
    assert emulators.moengage.members(name) == {"ada"}
    (segment,) = emulators.moengage.state()["segments"]
    assert (segment["cohort_ids"], segment["unmatched"]) == (["c1"], {"nobody": 1})


@pytest.mark.parametrize(
    ("document", "attribute"),
    [
        (cohort("", "ada"), "action"),
        (cohort("replace_members", "ada"), "action"),
        ({**cohort("add_members", "ada"), "partner": ""}, "partner"),
        (cohort("add_members"), "members"),
        (cohort("add_members", "ada", cohort_id=None), "cohort_id"),
        (cohort("add_members", "ada", cohort_name=".hidden"), "cohort_name"),
        (cohort("add_members", "ada", cohort_name="a:b"), "cohort_name"),
        (cohort("add_members", members=[{"uid": "ada", "email": "x"}]), "members"),
        (cohort("add_members", members=[{"uid": 17}]), "uid"),
    ],
)
def test_cohort_sync_refuses_what_is_not_right(
    api: Api, emulators: Emulators, document: Document, attribute: str
) -> None:
    answer = api.post("/v1/integrations/cohortsync", document)
    assert answer.status_code == 400
    body = answer.json()
    assert body["status"] == "fail"
    assert body["error"]["attribute"] == attribute
    assert set(body["error"]) == {"attribute", "message", "type", "request_id"}
    assert emulators.moengage.state()["segments"] == []


def test_credentials_content_type_size_and_json_come_first(api: Api) -> None:
    path = "/v1/integrations/cohortsync"
    good = cohort("add_members", "ada")

    def refusal(**more: Any) -> tuple[int, str]:
        answer = api.send("POST", path, **more)
        return answer.status_code, answer.json()["error"]["type"]

    assert api.send("GET", path).status_code == 405
    text = json.dumps(good)
    assert refusal(content=text)[0] == 400
    assert refusal(content=text, headers={"content-type": "text/plain"})[0] == 415
    as_json = {"content-type": "application/json"}
    assert refusal(content=b"{", headers=as_json) == (400, "Malformed JSON")
    padded = text + " " * (128_000 - len(text))
    assert api.send("POST", path, content=padded, headers=as_json).status_code == 200
    assert refusal(content=padded + " ", headers=as_json) == (413, "Payload too large")
    assert refusal(json=good, headers={"MOE-APPKEY": ""}) == (401, "Authentication required")
    other = api.post("/v1/customer/OTHER", {"type": "customer", "customer_id": "ada"})
    assert other.status_code == 409
    api.auth = (api.workspace, "old key")
    assert refusal(json=good) == (401, "Authentication required")
    api.auth = None
    assert api.post(path, good).json()["error"]["message"] == "Authentication Header Required"


def test_three_hundred_requests_a_minute_are_enough(api: Api, emulators: Emulators) -> None:
    answers = [api.sync("add_members", "ada") for _ in range(300)]
    assert {answer.status_code for answer in answers} == {200}
    assert answers[0].headers["x-ratelimit-limit"] == "300"
    assert answers[0].headers["x-ratelimit-remaining"] == "299"
    refused = api.sync("add_members", "ada")
    assert refused.status_code == 429
    assert refused.json()["error"]["type"] == "Rate Limits Exceeded"
    assert 0 < int(refused.headers["x-ratelimit-reset"]) <= 60
    emulators.moengage.switches.reset_header = "epoch"
    assert int(api.sync("add_members", "ada").headers["x-ratelimit-reset"]) > 1_000_000_000
    emulators.clock.advance(60)
    assert api.sync("add_members", "ada").status_code == 200


def test_the_data_api_keeps_customers_and_every_event(api: Api, emulators: Emulators) -> None:
    customer = {"type": "customer", "customer_id": "cy", "attributes": {"moe_anonymous_id": "d"}}
    path = f"/v1/customer/{api.workspace}"
    api.post(path, {**customer, "update_existing_only": True})
    assert "cy" not in emulators.moengage.state()["users"]
    assert api.post(path, customer).status_code == 200
    assert emulators.moengage.state()["users"]["cy"] == {"moe_anonymous_id": "d"}
    for wrong in (
        {**customer, "type": "Customer"},
        {**customer, "customer_id": "Guest"},
        {**customer, "customer_id": 17},
        {**customer, "attributes": {"moe_tag": 1}},
    ):
        assert api.post(path, wrong).status_code == 400
    event = {"type": "event", "customer_id": "cy", "actions": [{"action": "Played"}]}
    for _ in range(2):
        assert api.post(f"/v1/event/{api.workspace}", event).status_code == 200
    assert len(emulators.moengage.state()["events"]) == 2
    future = {"action": "Played", "user_time": "2026-03-02T12:00:01Z"}
    early: Document = {**event, "actions": [future]}
    assert api.post(f"/v1/event/{api.workspace}", early).status_code == 400


def test_a_bulk_call_loses_bad_elements_in_silence(api: Api, emulators: Emulators) -> None:
    path = f"/v1/transition/{api.workspace}"
    good = {"type": "customer", "customer_id": "cy"}
    document: Document = {"type": "transition", "elements": [good, {"type": "customer"}]}
    assert api.post(path, document).status_code == 200
    assert "cy" in emulators.moengage.state()["users"]
    assert emulators.moengage.state()["lost_after_accepting"][0]["attribute"] == "customer_id"
    emulators.moengage.switches.bulk_reports_errors = True
    assert api.post(path, document).status_code == 400
    assert api.post(path, {"type": "transition", "elements": []}).status_code == 400
    document["elements"] = [{**good, "attributes": {"x": "y" * 100_000}}]
    assert api.post(path, document).status_code == 413


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_file_segment_fetches_its_file(api: Api, emulators: Emulators) -> None:
    def address(text: str) -> str:
        return emulators.files.to_read("f", text.encode, seconds=60, content_type="text/csv")

    path = "/v2/custom-segments/file-segment"
    document = {"name": "S", "attribute_name": "uid", "attribute_type": "string"}
    missing = api.post(path, document)
    assert missing.json() == {
        "title": "Invalid Request",
        "description": "Mandatory field missing in the request: file_url",
    }
    created = api.post(path, document | {"file_url": address("uid\nada\nnobody\n")})
    assert created.status_code == 202
    assert created.json()["message"] == "File-segment creation request accepted"

    def segment() -> Document:
        (only,) = emulators.moengage.state()["file_segments"]
        held: Document = only
        return held

    until(lambda: len(segment()["callbacks"]) == 1)
    assert segment()["members"] == ["ada"]
    assert segment()["callbacks"][0]["values_processed"] == 2
    assert api.post(path, document | {"file_url": address("uid\n")}).status_code == 409
    api.send("PUT", path + "/add-users", json={"name": "S", "file_url": address("uid\nbo\n")})
    until(lambda: segment()["members"] == ["ada", "bo"])
    api.send("PUT", path + "/replace", json={"name": "S", "file_url": address('"uid"\nbo\n')})
    until(lambda: segment()["callbacks"][-1]["status"] == 400)
    api.send("PUT", path + "/replace", json={"name": "S", "file_url": "http://192.0.2.1/x"})
    until(lambda: "loopback only" in segment()["callbacks"][-1].get("error_message", ""))
    for _ in range(7):
        last = api.send(
            "PUT", path + "/replace", json={"name": "S", "file_url": "http://192.0.2.1"}
        )
    assert (last.status_code, last.json()["title"]) == (429, "Too Many Requests")


def test_streams_sends_whole_batches_again_then_drops_them(
    emulators: Emulators, client: httpx.Client
) -> None:
    with Emulators(moengage=MoengageSwitches()) as receiver:
        # Any emulated route stands for a receiver: 404 refuses a batch, 200 would take it.
        address = receiver.urls["moengage"] + "/streams"
        waits: list[float] = []
        deliveries = send_streams(
            address, [{"event_uuid": str(n)} for n in range(150)], sleep=waits.append
        )
    assert [(d.events, d.statuses, d.delivered) for d in deliveries] == [
        (100, (404,) * 4, False),
        (50, (404,) * 4, False),
    ]
    assert waits == [0, 30, 60, 120] * 2
