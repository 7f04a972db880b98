import json
import threading
import time
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from apply.sealed import SECRETS, Sync, body_of, key_of, seal, settings_in
from apply.vendors import Vendors, refuse, reset
from relay.apply import clevertap, run
from relay.apply.decisions import confirm, pause, resolve, resume
from relay.apply.ledger import Ledger, LedgerLine
from relay.apply.result import ApplyResult
from relay.apply.run import apply_plan
from relay.apply.verdicts import Exchange
from relay.errors import ConfigurationError, LedgerError, PlanError
from relay.plan.manifest import Plan
from relay.settings import Settings

CT, MOE, LYT, AMP = "clevertap.test", "moengage.test", "lytics.test", "amplitude.test"
NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
CLEVERTAP = Sync("ct", "clevertap", [(1, 3), (1, 2), (2, 4), (2, 1)], delivery="events")
MOENGAGE = Sync("moe", "moengage", [(1, 2), (2, 3)], on_unknown="resend")
LYTICS = Sync("lyt", "lytics", [(1, 2), (2, 3)], on_unknown="resend")
LYTICS_EVENTS = Sync("imported", "lytics", [(2, 3), (2, 2)], kind="event_import")
AMPLITUDE = Sync("amp", "amplitude", [(2, 4), (2, 2)], kind="event_export", on_unknown="resend")
LIST = Sync("list", "clevertap", [(2, 5)], delivery="custom_list")
IDENTIFY = Sync("who", "amplitude", [(2, 3)], kind="identify", delivery="identify")
EVERY = [CLEVERTAP, MOENGAGE, LYTICS, LYTICS_EVENTS, AMPLITUDE]

pytestmark = pytest.mark.usefixtures("quick")


def keys(sync: Sync, *requests: int) -> Counter[str]:
    """Every key of some requests of a sync, once."""
    numbers = requests or range(1, len(sync.requests) + 1)
    return Counter(
        key_of(sync.name, number, position)
        for number in numbers
        for position in range(sync.requests[number - 1][1])
    )


def send(settings: Settings, plan: Plan, vendors: Vendors, **options: Any) -> ApplyResult:
    result = apply_plan(settings, plan, transport=vendors.transport, **options)
    for sync in result.syncs:
        outcomes = (sync.delivered, sync.rejected, sync.unknown, sync.held, sync.pending)
        assert sum(outcomes) + sync.superseded == sync.planned, sync
    return result


def outcomes(result: ApplyResult, name: str) -> str:
    """The outcomes of a sync that are not 0, such as `delivered 3 unknown 2`."""
    sync = next(sync for sync in result.syncs if sync.name == name)
    kinds = ("delivered", "rejected", "unknown", "held", "pending", "superseded")
    return " ".join(f"{kind} {getattr(sync, kind)}" for kind in kinds if getattr(sync, kind))


def lines(settings: Settings, plan: Plan) -> list[LedgerLine]:
    with Ledger.open(settings.home) as ledger:
        return list(ledger.lines(plan.plan_id))


# --- everything goes well -----------------------------------------------------------------------


def test_every_destination_takes_exactly_what_was_sealed(settings: Settings) -> None:
    vendors = Vendors()
    plan = seal(settings.home, EVERY)
    result = send(settings, plan, vendors)
    assert result.exit_code == 0
    assert vendors.stored[CT] == keys(CLEVERTAP)
    assert vendors.stored[MOE] == keys(MOENGAGE)
    assert vendors.stored[LYT] == keys(LYTICS) + keys(LYTICS_EVENTS)
    assert vendors.stored[AMP] == keys(AMPLITUDE)
    sealed = {body_of(CLEVERTAP, n).encode() for n in range(1, 5)}
    assert set(vendors.bodies(CT)) == sealed
    key = b'{"api_key":"planted-amplitude-key",'
    sealed = {key + body_of(AMPLITUDE, n).encode()[1:] for n in (1, 2)}
    assert set(vendors.bodies(AMP)) == sealed


def test_applying_again_sends_nothing(settings: Settings) -> None:
    vendors = Vendors()
    plan = seal(settings.home, EVERY)
    first = send(settings, plan, vendors)
    count, written = len(vendors.log), lines(settings, plan)
    again = send(settings, plan, vendors)
    assert len(vendors.log) == count
    assert lines(settings, plan) == written
    assert again.document["syncs"] == first.document["syncs"]


def test_no_addition_is_sent_before_every_removal_was_answered(settings: Settings) -> None:
    vendors = Vendors(seconds=0.02)
    many = Sync("ct", "clevertap", [(2, 1), (1, 2), (2, 1), (1, 2), (1, 1), (2, 3)])
    plan = seal(settings.home, [many, MOENGAGE])
    send(settings, plan, vendors)
    removals = {2, 4, 5}
    seen: set[int] = set()
    for line in lines(settings, plan):
        if line.sync == "ct" and line.kind == "answered" and line.request in removals:
            seen.add(line.request)
        if line.sync == "ct" and line.kind == "sending" and line.request not in removals:
            assert seen == removals
    assert "remove_members" in vendors.bodies(MOE)[0].decode()


def test_additions_wait_for_removals_that_could_not_be_sent(settings: Settings) -> None:
    vendors = Vendors(answers={MOE: [refuse()] * 50})
    plan = seal(settings.home, [MOENGAGE])
    result = send(settings, plan, vendors)
    assert outcomes(result, "moe") == "pending 5"
    assert result.exit_code == 1
    assert "no connection" in result.failures[0].message
    assert send(settings, plan, Vendors()).exit_code == 0


# --- every answer ends in an outcome ------------------------------------------------------------


def test_records_that_clevertap_skips_are_rejected_by_position(settings: Settings) -> None:
    bad = {key_of("ct", 1, 2), key_of("ct", 3, 0), key_of("ct", 3, 3)}
    vendors = Vendors(refuses=lambda record: record["identity"] in bad)
    plan = seal(settings.home, [CLEVERTAP])
    result = send(settings, plan, vendors)
    assert outcomes(result, "ct") == "delivered 7 rejected 3"
    assert result.exit_code == 4
    assert vendors.stored[CT] == keys(CLEVERTAP) - Counter(bad)
    rejected = {
        (line.request, rejection.position, rejection.code, rejection.text)
        for line in lines(settings, plan)
        for rejection in line.rejected
    }
    # The vendor's words are kept, less the identifier that they repeat.
    assert rejected == {
        (1, 2, "523", "No identity of …. Skipped record number : 3"),
        (3, 0, "523", "No identity of …. Skipped record number : 1"),
        (3, 3, "523", "No identity of …. Skipped record number : 4"),
    }


@pytest.mark.parametrize("fault", [reset(), httpx.Response(500), httpx.ReadTimeout("slow")])
def test_a_clevertap_event_of_unknown_outcome_is_not_sent_again_by_itself(
    settings: Settings, fault: httpx.Response | Exception
) -> None:
    vendors = Vendors()
    vendors.answers[CT] = [vendors.after_storing(fault)]
    plan = seal(settings.home, [CLEVERTAP])
    result = send(settings, plan, vendors)
    assert result.exit_code == 4
    unknown = next(sync.unknown for sync in result.syncs)
    assert unknown in (2, 3)
    assert send(settings, plan, vendors).exit_code == 4
    assert vendors.stored[CT] == keys(CLEVERTAP)


@pytest.mark.parametrize(("decision", "copies"), [("delivered", 1), ("resend", 2)])
def test_a_person_decides_on_unknown_rows(settings: Settings, decision: Any, copies: int) -> None:
    one = Sync("ct", "clevertap", [(2, 3)])
    vendors = Vendors()
    vendors.answers[CT] = [vendors.after_storing(reset())]
    plan = seal(settings.home, [one])
    send(settings, plan, vendors)
    with Ledger.open(settings.home) as ledger:
        assert resolve(ledger, plan, decision, at=NOW) == {"ct": 3}
        assert resolve(ledger, plan, decision, at=NOW) == {"ct": 0}
    result = send(settings, plan, vendors)
    assert (outcomes(result, "ct"), result.exit_code) == ("delivered 3", 0)
    assert len(set(vendors.bodies(CT))) == 1
    assert set(vendors.stored[CT].values()) == {copies}


@pytest.mark.parametrize("sync", [MOENGAGE, LYTICS, AMPLITUDE], ids=lambda sync: sync.name)
@pytest.mark.parametrize("stored", [True, False])
def test_what_may_be_repeated_is_repeated(settings: Settings, sync: Sync, stored: bool) -> None:
    vendors = Vendors()
    host = f"{sync.destination}.test"
    fault = vendors.after_storing(reset()) if stored else reset()
    # Lytics asks first, by a dry run: the second request is the real one.
    vendors.answers[host] = [None, fault] if sync is LYTICS else [fault]
    plan = seal(settings.home, [sync])
    result = send(settings, plan, vendors)
    assert result.exit_code == 0
    copies = vendors.stored[host]
    assert set(copies) == set(keys(sync))
    if sync is AMPLITUDE:
        assert set(copies.values()) == {1}


def test_lytics_events_of_unknown_outcome_wait(settings: Settings) -> None:
    vendors = Vendors()
    vendors.answers[LYT] = [None, vendors.after_storing(httpx.Response(502, text="<html>"))]
    plan = seal(settings.home, [LYTICS_EVENTS])
    assert outcomes(send(settings, plan, vendors), "imported") == "delivered 2 unknown 3"
    assert outcomes(send(settings, plan, vendors), "imported") == "delivered 2 unknown 3"
    assert vendors.stored[LYT] == keys(LYTICS_EVENTS)


def test_on_unknown_hold_holds_moengage_too(settings: Settings) -> None:
    held = Sync("moe", "moengage", [(2, 3)], on_unknown="hold")
    vendors = Vendors(answers={MOE: [reset()]})
    plan = seal(settings.home, [held])
    assert outcomes(send(settings, plan, vendors), "moe") == "unknown 3"
    assert outcomes(send(settings, plan, vendors), "moe") == "unknown 3"
    assert len(vendors.log) == 1


def test_amplitude_events_are_repeated_only_while_their_ids_are_remembered(
    tmp_path: Path,
) -> None:
    vendors = Vendors()
    one = Sync("amp", "amplitude", [(2, 2)], kind="event_export", on_unknown="resend")
    first = settings_in(tmp_path)
    plan = seal(first.home, [one])
    with Ledger.open(first.home) as ledger:  # killed after sending
        ledger.append("sending", at=NOW, plan_id=plan.plan_id, sync="amp", request=1, attempt=1)
    later = settings_in(tmp_path, RELAY_NOW="2026-03-09T12:00:00Z")
    assert outcomes(send(later, plan, vendors), "amp") == "unknown 2"
    assert vendors.log == []
    soon = settings_in(tmp_path, RELAY_NOW="2026-03-09T10:00:00Z")
    assert outcomes(send(soon, plan, vendors), "amp") == "delivered 2"


def test_amplitude_drops_the_named_events_and_sends_the_rest(settings: Settings) -> None:
    bad = {key_of("amp", 1, 0), key_of("amp", 1, 3), key_of("amp", 2, 1)}
    vendors = Vendors(refuses=lambda event: event["user_id"] in bad)
    plan = seal(settings.home, [AMPLITUDE])
    result = send(settings, plan, vendors)
    assert outcomes(result, "amp") == "delivered 3 rejected 3"
    assert vendors.stored[AMP] == keys(AMPLITUDE) - Counter(bad)
    # The vendor names one event at a time here: three requests with a refusal, two without.
    assert len(vendors.log) == 5


@pytest.mark.parametrize("sync", [AMPLITUDE, MOENGAGE, LYTICS, CLEVERTAP], ids=lambda s: s.name)
def test_a_request_that_is_too_large_is_halved(settings: Settings, sync: Sync) -> None:
    vendors = Vendors()
    host = f"{sync.destination}.test"

    def take_two(request: httpx.Request) -> httpx.Response:
        if request.content.count(b"user-") > (4 if sync is AMPLITUDE else 2):
            return httpx.Response(413, json={"error": "Payload too large"})
        return vendors.take(request)

    vendors.answers[host] = [take_two] * 40
    plan = seal(settings.home, [sync])
    result = send(settings, plan, vendors)
    assert result.exit_code == 0
    assert vendors.stored[host] == keys(sync)


def test_amplitude_throttled_events_wait_and_the_others_go(settings: Settings) -> None:
    throttled = {
        "code": 429,
        "error": "Too many requests for some devices and users",
        "throttled_events": [1, 2],
        "exceeded_daily_quota_users": {key_of("amp", 1, 2): 500200},
    }
    one = Sync("amp", "amplitude", [(2, 4)], kind="event_export")
    vendors = Vendors(answers={AMP: [httpx.Response(429, json=throttled)]})
    plan = seal(settings.home, [one])
    result = send(settings, plan, vendors)
    assert outcomes(result, "amp") == "delivered 3 rejected 1"
    sent = [
        [event["user_id"][-1] for event in json.loads(body)["events"]]
        for body in vendors.bodies(AMP)
    ]
    assert sent == [["0", "1", "2", "3"], ["0", "3"], ["1"]]


def test_lytics_is_asked_first_and_the_row_to_blame_is_found(settings: Settings) -> None:
    rows = Sync("lyt", "lytics", [(2, 40)], on_unknown="resend")
    bad = {key_of("lyt", 1, 7), key_of("lyt", 1, 31)}
    vendors = Vendors(refuses=lambda row: row["user_id"] in bad)
    plan = seal(settings.home, [rows])
    result = send(settings, plan, vendors)
    assert outcomes(result, "lyt") == "delivered 38 rejected 2"
    assert vendors.stored[LYT] == keys(rows) - Counter(bad)
    real = [r for r in vendors.log if "dryrun" not in r.url.params]
    assert len(real) == 1


def test_lytics_rows_that_are_all_refused_are_not_sent(settings: Settings) -> None:
    rows = Sync("lyt", "lytics", [(2, 100)], on_unknown="resend")
    vendors = Vendors(refuses=lambda row: True)
    plan = seal(settings.home, [rows])
    result = send(settings, plan, vendors)
    assert outcomes(result, "lyt") == "rejected 100"
    assert all("dryrun" in request.url.params for request in vendors.log)
    assert len(vendors.log) < 120


def test_counts_that_differ_after_a_clean_dry_run_leave_the_rows_unknown(
    settings: Settings,
) -> None:
    data = {"message_count": 2, "rejected_count": 1}
    answer = httpx.Response(200, json={"status": 200, "message": "success", "data": data})
    vendors = Vendors(answers={LYT: [None, answer]})
    plan = seal(settings.home, [LYTICS_EVENTS])
    assert outcomes(send(settings, plan, vendors), "imported") == "delivered 2 unknown 3"


def test_a_custom_list_is_three_calls_and_its_address_gets_no_credentials(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    vendors = Vendors()
    files: list[tuple[str, bytes]] = []

    def put_file(url: str, path: Path, **_: Any) -> Any:
        files.append((url, path.read_bytes()))
        return Exchange(200, step="put")

    monkeypatch.setattr(clevertap, "put_file", put_file)
    plan = seal(settings.home, [LIST])
    result = send(settings, plan, vendors)
    assert outcomes(result, "list") == "delivered 5"
    ((url, content),) = files
    assert "planted-signature" in url
    assert content.decode().splitlines()[0] == "Type,Identity"
    assert [request.url.path for request in vendors.log] == [
        "/get_custom_list_segment_url",
        "/upload_custom_list_segment_completed",
    ]
    last = json.loads(vendors.log[-1].content)
    assert (last["replace"], last["url"]) == (True, url)
    assert_nowhere(settings, "planted-signature")


def test_identify_is_a_form_and_its_answer_is_text(settings: Settings) -> None:
    vendors = Vendors()
    plan = seal(settings.home, [IDENTIFY], kind="identify")
    result = send(settings, plan, vendors)
    assert outcomes(result, "who") == "delivered 3"
    assert vendors.stored["identify"] == keys(IDENTIFY)
    request = vendors.log[0]
    assert request.headers["content-type"] == "application/x-www-form-urlencoded"


def test_a_record_with_a_server_error_gets_one_more_try(settings: Settings) -> None:
    entry = {"status": "fail", "code": 555, "error": "Other. Skipped record number : 2"}
    partial = {"status": "partial", "processed": 2, "unprocessed": [entry]}
    one = Sync("ct", "clevertap", [(2, 3)])
    vendors = Vendors(answers={CT: [httpx.Response(200, json=partial)]})
    plan = seal(settings.home, [one])
    assert outcomes(send(settings, plan, vendors), "ct") == "delivered 3"
    records = [json.loads(body)["d"] for body in vendors.bodies(CT)]
    assert [len(record) for record in records] == [3, 1]
    assert records[1] == [records[0][1]]


def test_a_crash_while_a_part_is_sent_again_leaves_only_that_part_unknown(
    settings: Settings,
) -> None:
    entry = {"status": "fail", "code": 555, "error": "Other. Skipped record number : 2"}
    partial = {"status": "partial", "processed": 2, "unprocessed": [entry]}
    one = Sync("ct", "clevertap", [(2, 3)])
    vendors = Vendors(answers={CT: [httpx.Response(200, json=partial), reset()]})
    plan = seal(settings.home, [one])
    assert outcomes(send(settings, plan, vendors), "ct") == "delivered 2 unknown 1"
    with Ledger.open(settings.home) as ledger:
        assert resolve(ledger, plan, "resend", at=NOW) == {"ct": 1}
    assert outcomes(send(settings, plan, vendors), "ct") == "delivered 3"
    assert len(json.loads(vendors.bodies(CT)[-1])["d"]) == 1


# --- stops --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sync", "answer", "variable"),
    [
        (CLEVERTAP, httpx.Response(401, json={"error": "x"}), "CLEVERTAP_PASSCODE"),
        (MOENGAGE, httpx.Response(401), "MOENGAGE_API_KEY"),
        (LYTICS, httpx.Response(401), "LYTICS_API_TOKEN"),
        (
            AMPLITUDE,
            httpx.Response(400, json={"error": "Invalid API key: planted-amplitude-key"}),
            "AMPLITUDE_API_KEY",
        ),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_refused_credentials_stop_their_destination_and_name_the_variables(
    settings: Settings, sync: Sync, answer: httpx.Response, variable: str
) -> None:
    host = f"{sync.destination}.test"
    other = MOENGAGE if sync is not MOENGAGE else LYTICS
    vendors = Vendors(answers={host: [answer] * 50})
    plan = seal(settings.home, [sync, other])
    result = send(settings, plan, vendors)
    assert result.exit_code == 2
    assert variable in result.failures[0].message
    assert outcomes(result, sync.name) == f"pending {sum(n for _, n in sync.requests)}"
    assert outcomes(result, other.name) == "delivered 5"
    assert_nowhere(settings, *SECRETS)
    assert send(settings, plan, Vendors()).exit_code == 0


def test_a_missing_key_fails_its_destination_and_no_other(tmp_path: Path) -> None:
    settings = settings_in(tmp_path, LYTICS_API_TOKEN="")
    vendors = Vendors()
    plan = seal(settings.home, [LYTICS, MOENGAGE])
    result = send(settings, plan, vendors)
    assert result.exit_code == 2
    assert "LYTICS_API_TOKEN" in result.failures[0].message
    assert outcomes(result, "moe") == "delivered 5"


def test_a_restricted_event_name_stops_the_sync(settings: Settings) -> None:
    entries = [
        {"code": 513, "error": f"Restricted. Skipped record number : {n}"} for n in (1, 2, 3)
    ]
    fail = {"status": "fail", "processed": 0, "unprocessed": entries}
    sync = Sync("ct", "clevertap", [(1, 3), (2, 2)])
    vendors = Vendors(answers={CT: [httpx.Response(200, json=fail)]})
    plan = seal(settings.home, [sync])
    result = send(settings, plan, vendors)
    assert result.exit_code == 2
    assert "event_name" in result.failures[0].message
    assert outcomes(result, "ct") == "rejected 3 pending 2"


def test_a_vendor_that_answers_nothing_is_left_alone_after_three_requests(
    settings: Settings,
) -> None:
    sync = Sync("ct", "clevertap", [(2, 1)] * 60)
    vendors = Vendors(answers={CT: [httpx.Response(500)] * 60}, seconds=0.01)
    plan = seal(settings.home, [sync])
    result = send(settings, plan, vendors)
    assert result.exit_code == 1
    assert "in a row" in result.failures[0].message
    # Three, and what was in flight with the third.
    assert 3 <= len(vendors.log) <= 3 + 15
    assert len(vendors.log) == result.syncs[0].unknown


def test_a_429_is_waited_for_and_fewer_go_at_once(settings: Settings) -> None:
    sync = Sync("ct", "clevertap", [(2, 1)] * 40)
    busy = 0
    most = 0
    lock = threading.Lock()
    vendors = Vendors()

    def three_at_once(request: httpx.Request) -> httpx.Response:
        nonlocal busy, most
        with lock:
            busy += 1
            most = max(most, busy)
            too_many = busy > 3
        time.sleep(0.01)
        with lock:
            busy -= 1
        if too_many:
            return httpx.Response(429, json={"status": "fail", "code": 429})
        return vendors.take(request)

    vendors.answers[CT] = [three_at_once] * 2000
    plan = seal(settings.home, [sync])
    result = send(settings, plan, vendors)
    assert result.exit_code == 0
    assert most > 3
    assert vendors.stored[CT] == keys(sync)


def test_a_429_without_end_leaves_the_rest_pending(settings: Settings) -> None:
    vendors = Vendors(answers={AMP: [httpx.Response(429, json={"code": 429})] * 100})
    plan = seal(settings.home, [AMPLITUDE])
    result = send(settings, plan, vendors)
    assert outcomes(result, "amp") == "pending 6"
    assert result.exit_code == 1
    assert "12 times" in result.failures[0].message


# --- held, stale, paused ------------------------------------------------------------------------


def test_a_held_sync_waits_for_its_approval_and_nothing_waits_for_it(settings: Settings) -> None:
    held = Sync("ct", "clevertap", [(1, 3), (2, 4)], state="held")
    vendors = Vendors()
    plan = seal(settings.home, [held, MOENGAGE])
    result = send(settings, plan, vendors)
    assert (outcomes(result, "ct"), outcomes(result, "moe")) == ("held 7", "delivered 5")
    assert result.exit_code == 3
    assert CT not in vendors.stored
    result = send(settings, plan, vendors, approve=["ct"])
    assert (outcomes(result, "ct"), result.exit_code) == ("delivered 7", 0)
    approved = [line for line in lines(settings, plan) if line.kind == "approved"]
    assert [line.detail["plan_hash"] for line in approved] == [plan.plan_hash]


def test_an_approval_holds_over_a_crash(settings: Settings) -> None:
    held = Sync("ct", "clevertap", [(2, 4)], state="held")
    plan = seal(settings.home, [held])
    vendors = Vendors(answers={CT: [refuse()] * 20})
    assert outcomes(send(settings, plan, vendors, approve=["ct"]), "ct") == "pending 4"
    assert outcomes(send(settings, plan, Vendors()), "ct") == "delivered 4"


def test_a_name_that_is_not_in_the_plan_is_refused(settings: Settings) -> None:
    plan = seal(settings.home, [MOENGAGE])
    for options in ({"approve": ["moo"]}, {"syncs": ["moo"]}):
        with pytest.raises(ConfigurationError, match="no sync 'moo'; it has moe"):
            apply_plan(settings, plan, **options)  # type: ignore[arg-type]


def test_only_the_named_syncs_are_sent(settings: Settings) -> None:
    vendors = Vendors()
    plan = seal(settings.home, [CLEVERTAP, MOENGAGE])
    result = send(settings, plan, vendors, syncs=["moe"])
    assert (outcomes(result, "ct"), outcomes(result, "moe")) == ("pending 10", "delivered 5")
    assert result.exit_code == 0


def test_a_plan_is_stale_after_another_plan_of_the_sync(settings: Settings) -> None:
    vendors = Vendors()
    first = seal(settings.home, [CLEVERTAP, MOENGAGE], minute=1)
    second = seal(settings.home, [CLEVERTAP], minute=2)
    send(settings, second, vendors)
    result = send(settings, first, vendors)
    assert outcomes(result, "ct") == "superseded 10"
    assert outcomes(result, "moe") == "delivered 5"
    assert result.exit_code == 1
    assert second.plan_id in result.failures[0].message
    assert "relay plan" in result.failures[0].message
    assert vendors.stored[CT] == keys(CLEVERTAP)


def test_a_plan_whose_ledger_file_is_gone_is_not_sent_again(settings: Settings) -> None:
    plan = seal(settings.home, [CLEVERTAP])
    vendors = Vendors()
    send(settings, plan, vendors)
    file = settings.home.ledger / f"{plan.plan_id}.ndjson"
    file.unlink()
    gone = f"{file.name} is missing: .* may have been sent.*Restore.*ledger_missing"
    with pytest.raises(LedgerError, match=gone):
        send(settings, plan, vendors)
    with Ledger.open(settings.home) as ledger:
        with pytest.raises(LedgerError, match=gone):
            confirm(ledger, plan, at=NOW)
        with pytest.raises(LedgerError, match=gone):
            resolve(ledger, plan, "resend", at=NOW)
    assert vendors.stored[CT] == keys(CLEVERTAP)
    # A file made anew would hide the loss.
    assert not file.exists()


def test_a_plan_made_after_those_lines_is_not_stale(settings: Settings) -> None:
    send(settings, seal(settings.home, [MOENGAGE], minute=1), Vendors())
    with Ledger.open(settings.home) as ledger:
        seq = ledger.last_seq
    sync = Sync("moe", "moengage", [(2, 1)], ledger_seq=seq)
    plan = seal(settings.home, [sync], minute=2)
    assert send(settings, plan, Vendors()).exit_code == 0


def test_a_paused_sync_is_not_sent_until_it_is_resumed(settings: Settings) -> None:
    plan = seal(settings.home, [MOENGAGE])
    with Ledger.open(settings.home) as ledger:
        assert pause(ledger, "moe", at=NOW)
        assert not pause(ledger, "moe", at=NOW)
    result = send(settings, plan, Vendors())
    assert (outcomes(result, "moe"), result.exit_code) == ("pending 5", 1)
    assert "relay resume moe" in result.failures[0].message
    (settings.home.ledger / "head.json").unlink()
    with Ledger.open(settings.home) as ledger:
        assert resume(ledger, "moe", at=NOW)
        assert not resume(ledger, "moe", at=NOW)
    assert send(settings, plan, Vendors()).exit_code == 0


def test_applying_an_undo_pauses_its_syncs(settings: Settings) -> None:
    plan = seal(settings.home, [MOENGAGE], kind="undo")
    assert send(settings, plan, Vendors()).exit_code == 0
    assert send(settings, plan, Vendors()).exit_code == 0
    with Ledger.open(settings.home) as ledger:
        assert ledger.paused == {"moe"}
        assert [line.kind for line in ledger.lines()].count("paused") == 1


def test_an_undo_that_was_uploaded_by_hand_pauses_its_syncs_too(settings: Settings) -> None:
    plan = seal(settings.home, [MOENGAGE], kind="undo")
    with Ledger.open(settings.home) as ledger:
        assert confirm(ledger, plan, at=NOW) == {"moe": 5}
        assert confirm(ledger, plan, at=NOW) == {"moe": 0}
        assert ledger.paused == {"moe"}
        assert [line.kind for line in ledger.lines()].count("paused") == 1


def test_a_sync_with_nothing_to_send_keeps_its_state(settings: Settings) -> None:
    plan = seal(settings.home, [Sync("moe", "moengage", [], state="not_due")])
    result = send(settings, plan, Vendors())
    assert (result.syncs[0].state, result.exit_code) == ("not_due", 0)


# --- confirm ------------------------------------------------------------------------------------


def test_a_plan_uploaded_by_hand_is_confirmed_whole(settings: Settings) -> None:
    plan = seal(settings.home, [CLEVERTAP, MOENGAGE])
    with Ledger.open(settings.home) as ledger:
        assert confirm(ledger, plan, at=NOW, syncs=["ct"]) == {"ct": 10}
        assert confirm(ledger, plan, at=NOW) == {"ct": 0, "moe": 5}
    vendors = Vendors()
    assert send(settings, plan, vendors).exit_code == 0
    assert vendors.log == []


def test_confirming_what_is_left_keeps_what_was_refused(settings: Settings) -> None:
    bad = key_of("ct", 1, 0)
    vendors = Vendors(refuses=lambda record: record["identity"] == bad)
    vendors.answers[CT] = [None, None, refuse(), *[refuse()] * 20]
    plan = seal(settings.home, [CLEVERTAP])
    before = send(settings, plan, vendors).syncs[0]
    with Ledger.open(settings.home) as ledger:
        assert confirm(ledger, plan, at=NOW) == {"ct": before.pending}
    result = send(settings, plan, vendors)
    assert outcomes(result, "ct") == "delivered 9 rejected 1"


def test_a_stale_plan_cannot_be_confirmed(settings: Settings) -> None:
    first = seal(settings.home, [MOENGAGE], minute=1)
    send(settings, seal(settings.home, [MOENGAGE], minute=2), Vendors())
    with Ledger.open(settings.home) as ledger, pytest.raises(PlanError, match="stale"):
        confirm(ledger, first, at=NOW)


# --- dry run ------------------------------------------------------------------------------------


def test_a_dry_run_stores_nothing_and_says_what_would_be_refused(settings: Settings) -> None:
    bad = {key_of("ct", 1, 2), key_of("lyt", 2, 0)}
    vendors = Vendors(refuses=lambda r: r.get("identity", r.get("user_id")) in bad)
    plan = seal(settings.home, [*EVERY, LIST])
    result = send(settings, plan, vendors, dry_run=True)
    assert result.exit_code == 4
    assert vendors.stored == {}
    assert {request.url.host for request in vendors.log} == {CT, LYT}
    assert lines(settings, plan) == []
    found = {sync.name: (sync.pending, sync.checked, sync.refused) for sync in result.syncs}
    assert found == {
        "ct": (10, 9, 1),
        "moe": (5, 5, 0),
        "lyt": (5, 4, 1),
        "imported": (5, 5, 0),
        "amp": (6, 6, 0),
        "list": (5, 5, 0),
    }


def test_a_dry_run_needs_no_key_of_a_vendor_that_has_none(tmp_path: Path) -> None:
    settings = settings_in(tmp_path, MOENGAGE_API_KEY="")
    plan = seal(settings.home, [MOENGAGE])
    assert send(settings, plan, Vendors(), dry_run=True).exit_code == 0


# --- signals ------------------------------------------------------------------------------------


def test_a_stop_before_the_start_sends_nothing(settings: Settings) -> None:
    stop = threading.Event()
    stop.set()
    vendors = Vendors()
    plan = seal(settings.home, EVERY)
    result = send(settings, plan, vendors, stop=stop)
    assert result.exit_code == 130
    assert vendors.log == []


def test_what_is_in_flight_is_finished_and_nothing_new_begins(settings: Settings) -> None:
    stop = threading.Event()
    sync = Sync("moe", "moengage", [(2, 1)] * 20, on_unknown="resend")
    vendors = Vendors()

    def stop_now(request: httpx.Request) -> httpx.Response:
        stop.set()
        time.sleep(0.3)
        return vendors.take(request)

    vendors.answers[MOE] = [None, None, stop_now]
    plan = seal(settings.home, [sync])
    result = send(settings, plan, vendors, stop=stop)
    assert (outcomes(result, "moe"), result.exit_code) == ("delivered 3 pending 17", 130)
    assert outcomes(send(settings, plan, vendors), "moe") == "delivered 20"
    assert vendors.stored[MOE] == keys(sync)


def test_what_is_not_answered_in_time_is_marked_unknown(settings: Settings) -> None:
    stop = threading.Event()
    ended = threading.Event()
    vendors = Vendors()

    def hang(request: httpx.Request) -> httpx.Response:
        stop.set()
        ended.wait(20)
        return vendors.take(request)

    vendors.answers[CT] = [hang] * 4
    sync = Sync("ct", "clevertap", [(2, 3)])
    plan = seal(settings.home, [sync])
    started = time.monotonic()
    result = send(settings, plan, vendors, stop=stop, grace_seconds=0.3)
    assert time.monotonic() - started < 5
    assert (outcomes(result, "ct"), result.exit_code) == ("unknown 3", 130)
    written = lines(settings, plan)
    assert written[-1].detail["reason"] == "stopped before an answer came"
    ended.set()
    time.sleep(0.2)
    # The answer that came too late changes nothing: a person was told that it is unknown.
    assert lines(settings, plan) == written


def test_a_stop_ends_a_wait(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "read_limits", lambda root: {})
    stop = threading.Event()
    vendors = Vendors()
    limited = httpx.Response(429, headers={"x-ratelimit-reset": "50"})

    def limit(request: httpx.Request) -> httpx.Response:
        threading.Timer(0.2, stop.set).start()
        return limited

    vendors.answers[MOE] = [limit]
    plan = seal(settings.home, [MOENGAGE])
    started = time.monotonic()
    result = send(settings, plan, vendors, stop=stop)
    assert time.monotonic() - started < 5
    assert (outcomes(result, "moe"), result.exit_code) == ("pending 5", 130)


# --- hosts and secrets --------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["//evil.test/x", "https://evil.test/x", "x", ""])
def test_a_plan_cannot_send_to_another_host(settings: Settings, path: str) -> None:
    sync = Sync("moe", "moengage", [(2, 1)], send={"path": path})
    vendors = Vendors()
    plan = seal(settings.home, [sync])
    with pytest.raises(PlanError, match="is planned for"):
        apply_plan(settings, plan, transport=vendors.transport)
    assert vendors.log == []


def test_a_redirect_is_not_followed(settings: Settings) -> None:
    away = httpx.Response(307, headers={"location": "https://evil.test/1/upload"})
    vendors = Vendors(answers={CT: [away]})
    sync = Sync("ct", "clevertap", [(2, 3)])
    plan = seal(settings.home, [sync])
    result = send(settings, plan, vendors)
    assert (outcomes(result, "ct"), result.exit_code) == ("pending 3", 2)
    assert {request.url.host for request in vendors.log} == {CT}


def test_no_secret_and_no_key_of_a_person_is_written_or_said(
    settings: Settings, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level("DEBUG")
    echo = {"status": "fail", "error": {"type": "x", "message": f"bad moe-user-1-0 {SECRETS}"}}
    vendors = Vendors(
        refuses=lambda record: record.get("identity") == key_of("ct", 1, 0),
        answers={MOE: [httpx.Response(400, json=echo)] * 3, AMP: [httpx.Response(500, text="x")]},
    )
    plan = seal(settings.home, [*EVERY, IDENTIFY])
    result = send(settings, plan, vendors)
    captured = capfd.readouterr()
    said = caplog.text + captured.out + captured.err + json.dumps(result.document)
    assert_nowhere(settings, *SECRETS)
    for word in (*SECRETS, "-user-"):
        assert word not in said
    for path in settings.home.ledger.iterdir():
        assert "-user-" not in path.read_text()


def assert_nowhere(settings: Settings, *words: str) -> None:
    """None of the words stands in any file of the home."""
    for path in settings.home.root.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            for word in words:
                assert word.encode() not in content, (path, word)
