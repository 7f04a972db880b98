from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from relay.emulate import Emulators

COMPUTED = datetime(2026, 3, 1, tzinfo=UTC)


class Api:
    def __init__(self, emulators: Emulators, client: httpx.Client) -> None:
        self._client = client
        environ = emulators.environ
        self._url = environ["AMPLITUDE_API_URL"]
        self._auth = (environ["AMPLITUDE_API_KEY"], environ["AMPLITUDE_SECRET_KEY"])

    def get(self, path: str) -> httpx.Response:
        return self._client.get(self._url + path, auth=self._auth)

    def request(self, cohort: str = "c1", query: str = "") -> httpx.Response:
        return self.get(f"/api/5/cohorts/request/{cohort}{query}")

    def finished(self, cohort: str = "c1", query: str = "") -> str:
        request_id: str = self.request(cohort, query).json()["request_id"]
        while self.get(f"/api/5/cohorts/request-status/{request_id}").status_code == 202:
            pass
        return request_id

    def file(self, request_id: str) -> httpx.Response:
        return self.get(f"/api/5/cohorts/request/{request_id}/file")


@pytest.fixture
def api(emulators: Emulators, client: httpx.Client) -> Api:
    emulators.amplitude.set_cohort("c1", "Cart Drop off", None, COMPUTED, [(812, "Ada"), (9, None)])
    return Api(emulators, client)


def test_the_list_shows_size_and_seconds_and_nulls(api: Api, emulators: Emulators) -> None:
    emulators.amplitude.set_cohort("c2", "Never computed", archived=True)
    emulators.amplitude.set_cohort("c3", "Hidden draft", None, COMPUTED, published=False)
    answer = api.get("/api/3/cohorts")
    assert answer.headers["content-type"] == "application/json; charset=UTF-8"
    first, second = answer.json()["cohorts"]
    assert (first["id"], first["appId"], first["size"]) == ("c1", 829528, 2)
    assert (first["lastComputed"], first["finished"]) == (1_772_323_200, True)
    assert (second["size"], second["lastComputed"], second["archived"]) == (None, None, True)
    assert "syncMetadata" not in first
    assert "syncMetadata" in api.get("/api/3/cohorts?includeSyncInfo=true").json()["cohorts"][0]


def test_three_steps_give_a_quoted_file(api: Api) -> None:
    started = api.request()
    request_id = started.json()["request_id"]
    assert started.status_code == 202
    assert started.json() == {"request_id": request_id, "cohort_id": "c1"}
    assert api.file(request_id).status_code == 404
    status = f"/api/5/cohorts/request-status/{request_id}"
    seen = [
        (answer.status_code, answer.json()["async_status"]) for answer in map(api.get, [status] * 3)
    ]
    assert seen == [(202, "JOB INPROGRESS"), (202, "JOB INPROGRESS"), (200, "JOB COMPLETED")]
    file = api.file(request_id)
    assert file.status_code == 200
    assert file.text == '"amplitude_id","user_id"\n"812","Ada"\n"9",""\n'


def test_a_job_keeps_the_members_it_began_with(api: Api, emulators: Emulators) -> None:
    request_id = api.finished()
    emulators.amplitude.set_cohort("c1", "Cart Drop off", None, COMPUTED + timedelta(hours=1), [])
    assert api.file(request_id).text.count("\n") == 3


def test_properties_repeated_headers_tabs_and_gzip(api: Api, emulators: Emulators) -> None:
    emulators.amplitude.set_cohort(
        "c1", "P", None, COMPUTED, [(1, "a", {"tags": ["x"], "city": 'So"fia'}), (2, None, None)]
    )
    request_id = api.finished(query="?props=1&propKeys=city&propKeys=tags")
    assert api.file(request_id).text == (
        '"amplitude_id","user_id","city","tags"\n"1","a","So""fia","[""x""]"\n"2","","",""\n'
    )
    assert api.file(api.finished()).text.startswith('"amplitude_id","user_id"\n')
    switches = emulators.amplitude.switches
    switches.cohort_repeated_header = switches.cohort_tab_prefix = True
    assert api.file(api.finished()).text.splitlines()[:2] == [
        '"\tamplitude_id","\tuser_id","\tamplitude_id"',
        '"\t1","\ta","\t1"',
    ]
    switches.cohort_gzip_body = True
    assert api.file(api.finished()).content[:2] == b"\x1f\x8b"


def test_a_redirect_is_short_lived_and_takes_no_credentials(
    api: Api, emulators: Emulators, client: httpx.Client
) -> None:
    emulators.amplitude.switches.cohort_inline_bytes = 10
    request_id = api.finished()
    answer = api.file(request_id)
    assert answer.status_code == 302
    address = answer.headers["location"]
    assert address.startswith(emulators.urls["files"])
    with_credentials = client.get(address, auth=("key", "secret"))
    assert with_credentials.status_code == 400
    assert "Only one auth mechanism allowed" in with_credentials.text
    assert client.get(address).text.startswith('"amplitude_id"')
    assert client.get(address.replace("Signature=", "Signature=0")).status_code == 403
    emulators.clock.advance(61)
    assert client.get(address).status_code == 403
    assert client.get(api.file(request_id).headers["location"]).status_code == 200
    emulators.clock.advance(timedelta(days=8))
    assert api.file(request_id).status_code == 404


def test_a_file_can_be_given_and_a_size_be_wrong(api: Api, emulators: Emulators) -> None:
    emulators.amplitude.set_cohort("c9", "Cut", None, COMPUTED, file=b'"amplitude', size=9)
    assert api.file(api.finished("c9")).text == '"amplitude'
    assert api.get("/api/3/cohorts").json()["cohorts"][-1]["size"] == 9


def test_unknown_cohorts_and_requests_are_404(api: Api) -> None:
    assert api.request("nope").status_code == 404
    assert api.get("/api/5/cohorts/request-status/nope").status_code == 404


def test_jobs_at_once_and_in_ten_minutes_are_limited(api: Api, emulators: Emulators) -> None:
    def details(answer: httpx.Response) -> str:
        assert answer.status_code == 429
        text: str = answer.json()["error"]["metadata"]["details"]
        return text

    running = [api.request() for _ in range(4)]
    assert {answer.status_code for answer in running} == {202}
    assert details(api.request()) == "Exceeded 4 parallel requests per minute"
    emulators.clock.advance(60)
    emulators.amplitude.switches.cohort_polls = 0
    for _ in range(56):
        api.finished()
    assert details(api.request()) == "Exceeded 60 requests per 10 minutes"
    emulators.clock.advance(600)
    assert api.request().status_code == 202


def test_a_month_has_so_many_downloads(api: Api, emulators: Emulators) -> None:
    emulators.amplitude.switches.cohort_requests_a_month = 1
    assert api.request().status_code == 202
    assert api.request().json()["error"]["metadata"]["details"].endswith("downloads per month")
    assert emulators.amplitude.state()["cohort_requests"] == {"829528 2026-03": 1}
    emulators.clock.set(datetime(2026, 4, 1, tzinfo=UTC))
    assert api.request().status_code == 202


def test_five_rest_requests_at_once_are_enough(api: Api, emulators: Emulators) -> None:
    emulators.amplitude.latency_seconds = 0.2
    with ThreadPoolExecutor(6) as pool:
        statuses = sorted(pool.map(lambda _: api.get("/api/3/cohorts").status_code, range(6)))
    assert statuses == [200] * 5 + [429]
    assert emulators.amplitude.state()["most_in_flight"] == {"rest": 5}
