"""What each answer of each vendor means for the rows of its request: tables, no network."""

import json
from typing import Any

import pytest

from relay.apply import amplitude, clevertap, lytics, moengage
from relay.apply.verdicts import Exchange, Scope, Verdict

HTML = b"<html><body>502 Bad Gateway</body></html>"


def answer(status: int, document: Any = None, body: bytes = b"", **headers: str) -> Exchange:
    content = body if document is None else json.dumps(document).encode()
    return Exchange(status, content, {k.replace("_", "-"): v for k, v in headers.items()})


def summary(verdict: Verdict) -> str:
    """A verdict in one line: outcome, rejected, unknown, what goes again, what stops."""
    parts: list[str] = [verdict.outcome]
    parts += [f"-{r.position}:{r.code}" for r in verdict.rejected]
    parts += [f"?{position}" for position in verdict.unknown]
    for again in verdict.again:
        rows = ",".join(str(position) for position in again.positions)
        wait = "backoff" if again.wait is None else f"{again.wait:g}s"
        parts.append(f"again[{rows}]{wait}{'*' if again.fresh else ''}")
    if verdict.stop is not None:
        code = 2 if verdict.stop.is_configuration else 1
        parts.append(f"stop({verdict.stop.scope.value},{code})")
    if verdict.is_throttled:
        parts.append("slower")
    return " ".join(parts)


def skipped(number: int, code: int = 515) -> dict[str, Any]:
    return {
        "status": "fail",
        "code": code,
        "error": f"Profile data is incorrect. Email is not valid.Skipped record number : {number}",
        "record": {"identity": "somebody"},
    }


NOT_OPENED = Exchange(None, failure="not_opened")
NO_ANSWER = Exchange(None, failure="no_answer")
PARTIAL: dict[str, Any] = {"status": "partial", "processed": 2, "unprocessed": [skipped(2)]}
FAIL: dict[str, Any] = {"status": "fail", "processed": 0, "unprocessed": []}
MALFORMED = {"status": "fail", "error": "Malformed request", "code": 400}
CONCURRENT = {"status": "fail", "error": "Too many concurrent requests", "code": 429}


@pytest.mark.parametrize(
    ("exchange", "tries", "expected"),
    [
        (answer(200, {"status": "success", "processed": 3, "unprocessed": []}), 0, "delivered"),
        (answer(200, {"status": "success"}), 0, "delivered"),
        (answer(200, PARTIAL), 0, "delivered -1:515"),
        (
            answer(200, FAIL | {"unprocessed": [skipped(1), skipped(2), skipped(3)]}),
            0,
            "delivered -0:515 -1:515 -2:515",
        ),
        (answer(200, FAIL), 0, "rejected -None:fail"),
        (
            answer(200, {"status": "fail", "error": "Incorrect Usage", "code": 3}),
            0,
            "rejected -None:3",
        ),
        # The numbers do not add up: what is not named is in doubt.
        (answer(200, PARTIAL | {"processed": 1}), 0, "delivered -1:515 ?0 ?2"),
        (answer(200, {"status": "success", "processed": 2, "unprocessed": []}), 0, "unknown"),
        (answer(200, {"status": "partial", "processed": 3, "unprocessed": []}), 0, "unknown"),
        (answer(200, {"status": "partial", "processed": 2, "unprocessed": "x"}), 0, "unknown"),
        (
            answer(200, PARTIAL | {"unprocessed": [skipped(2, 513)]}),
            0,
            "delivered -1:513 stop(sync,2)",
        ),
        (answer(200, PARTIAL | {"unprocessed": [skipped(2, 555)]}), 0, "delivered again[1]2s"),
        (answer(200, PARTIAL | {"unprocessed": [skipped(2, 555)]}), 1, "delivered -1:555"),
        (answer(200, body=b""), 0, "unknown"),
        (answer(200, body=HTML), 0, "unknown"),
        (answer(200, []), 0, "unknown"),
        (answer(400, MALFORMED), 0, "not_processed again[0,1,2]backoff"),
        (answer(400, MALFORMED), 1, "rejected -None:400"),
        (answer(401, {"error": "Account ID is not valid"}), 0, "not_processed stop(destination,2)"),
        (answer(403), 0, "not_processed stop(destination,2)"),
        (answer(404, body=HTML), 0, "not_processed stop(destination,2)"),
        (answer(409), 0, "rejected -None:409"),
        (answer(413), 0, "not_processed again[0]0s* again[1,2]0s*"),
        (answer(429, CONCURRENT), 0, "not_processed again[0,1,2]backoff slower"),
        (answer(302, location="https://elsewhere.test"), 0, "not_processed stop(destination,2)"),
        (answer(408), 0, "unknown"),
        (answer(500, {"status": "fail", "code": 500}), 0, "unknown"),
        (answer(503), 0, "unknown"),
        (NOT_OPENED, 0, "not_processed again[0,1,2]backoff"),
        (NO_ANSWER, 0, "unknown"),
    ],
)
def test_clevertap_upload(exchange: Exchange, tries: int, expected: str) -> None:
    assert summary(clevertap.judge_upload(exchange, 3, tries)) == expected


N = "Skipped record number : {}"


@pytest.mark.parametrize(
    ("errors", "rows", "positions", "doubtful"),
    [
        ([N.format(1), N.format(3)], 3, [0, 2], ()),
        ([N.format(3), N.format(1)], 3, [2, 0], ()),
        (["no number", "nor here"], 2, [0, 1], ()),
        ([N.format(1), "no number", N.format(3)], 4, [0, 1, 2], ()),
        ([N.format(1), "no number"], 2, [0, 1], ()),
        (["no number", N.format(2)], 3, [0, 1], ()),
        (["no number"], 3, [None], (0, 1, 2)),
        ([N.format(2), "no number"], 4, [1, None], (2, 3)),
        ([N.format(2), N.format(2)], 3, [1, 1], ()),
        ([N.format(9)], 3, [None], (0, 1, 2)),
        ([N.format(0)], 1, [0], ()),
        ([N.format(3), N.format(1), "no number"], 4, [2, 0, None], (1, 3)),
        ([N.format(10**30)], 3, [None], (0, 1, 2)),
        ([], 3, [], ()),
    ],
)
def test_clevertap_positions_come_from_numbers_and_order(
    errors: list[str], rows: int, positions: list[int | None], doubtful: tuple[int, ...]
) -> None:
    assert clevertap.positions_of(errors, rows) == (positions, doubtful)


def step(name: str, exchange: Exchange) -> Exchange:
    return Exchange(exchange.status, exchange.body, exchange.headers, exchange.failure, name)


ADDRESS = {"status": "success", "presignedS3URL": "https://files.test/x"}


@pytest.mark.parametrize(
    ("exchange", "expected"),
    [
        (step("address", answer(200, ADDRESS)), "delivered"),
        (step("address", answer(200, {"status": "success"})), "rejected -None:no_address"),
        (step("address", answer(500)), "not_processed again[0]backoff"),
        (step("address", NO_ANSWER), "not_processed again[0]backoff"),
        (step("address", answer(200, body=HTML)), "not_processed again[0]backoff"),
        (step("address", answer(401)), "not_processed stop(destination,2)"),
        (step("put", answer(200)), "delivered"),
        (step("put", answer(403, body=b"<Error>expired</Error>")), "not_processed again[0]backoff"),
        (step("put", NO_ANSWER), "not_processed again[0]backoff"),
        (step("complete", answer(200, {"status": "success", "Segment ID": 7})), "delivered"),
        (
            step("complete", answer(200, {"status": "fail", "error": "x", "code": 1})),
            "rejected -None:1",
        ),
        (step("complete", answer(429)), "not_processed again[0]backoff slower"),
        (step("complete", answer(500)), "unknown"),
        (step("complete", NO_ANSWER), "unknown"),
        (step("complete", answer(200, body=HTML)), "unknown"),
    ],
)
def test_clevertap_custom_list(exchange: Exchange, expected: str) -> None:
    assert summary(clevertap.judge_custom_list(exchange, 1)) == expected


def moe_error(kind: str) -> dict[str, Any]:
    return {"status": "fail", "error": {"message": "…", "type": kind}}


@pytest.mark.parametrize(
    ("exchange", "expected"),
    [
        (answer(200, {"status": "success", "message": "accepted"}), "delivered"),
        (answer(200, moe_error("ParamsRequired")), "rejected -None:ParamsRequired"),
        (answer(200, body=HTML), "unknown"),
        (answer(400, moe_error("MissingAttributeError")), "rejected -None:MissingAttributeError"),
        (answer(400, body=HTML), "rejected -None:400"),
        (answer(401, moe_error("Authentication required")), "not_processed stop(destination,2)"),
        (answer(403, moe_error("Account Suspended")), "not_processed stop(destination,1)"),
        (answer(405), "not_processed stop(destination,2)"),
        (answer(409, moe_error("Authentication Mismatch")), "not_processed stop(destination,2)"),
        (answer(413, moe_error("Payload too large")), "not_processed again[0]0s* again[1,2]0s*"),
        (answer(415), "not_processed stop(destination,2)"),
        (answer(429), "not_processed again[0,1,2]backoff slower"),
        (answer(429, x_ratelimit_reset="12"), "not_processed again[0,1,2]12.5s slower"),
        (answer(500, moe_error("Server Error")), "unknown"),
        (NOT_OPENED, "not_processed again[0,1,2]backoff"),
        (NO_ANSWER, "unknown"),
    ],
)
def test_moengage_cohort_sync(exchange: Exchange, expected: str) -> None:
    assert summary(moengage.judge_cohort_sync(exchange, 3)) == expected


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"x_ratelimit_reset": "soon"}, None),
        ({"x_ratelimit_reset": "-5"}, None),
        ({"x_ratelimit_reset": "0"}, 0.5),
        ({"x_ratelimit_reset": "59"}, 59.5),
        ({"x_ratelimit_reset": "61"}, 60.0),
        # An epoch second counts from the answer's own clock, whatever ours says.
        ({"x_ratelimit_reset": "1772452830", "date": "Mon, 02 Mar 2026 12:00:00 GMT"}, 30.5),
        ({"x_ratelimit_reset": "1772452830"}, None),
        ({"x_ratelimit_reset": "1772452830", "date": "yesterday"}, None),
    ],
)
def test_moengage_reset_is_seconds_or_an_epoch(headers: dict[str, str], seconds: float) -> None:
    assert moengage.reset_after(answer(429, None, b"", **headers)) == seconds


def counted(taken: object, rejected: object = 0, status: object = 200) -> dict[str, Any]:
    data = {"message_count": taken, "rejected_count": rejected}
    return {"status": status, "message": "success", "data": data}


@pytest.mark.parametrize(
    ("exchange", "expected", "dry"),
    [
        (answer(200, counted(3)), "delivered", "delivered"),
        (answer(200, counted(3, status="200")), "delivered", "delivered"),
        (answer(200, counted(2, 1)), "unknown", "rejected -None:counts"),
        (answer(200, counted(4)), "unknown", "rejected -None:counts"),
        (
            answer(200, {"status": 200, "data": None}),
            "unknown",
            "not_processed again[0,1,2]backoff",
        ),
        (answer(200, body=HTML), "unknown", "not_processed again[0,1,2]backoff"),
        (answer(400, {"message": "bad row", "status": 400}), "unknown", "rejected -None:400"),
        (answer(401), "not_processed stop(destination,2)", "not_processed stop(destination,2)"),
        (answer(404), "not_processed stop(destination,2)", "not_processed stop(destination,2)"),
        (answer(422, {"message": "no"}), "rejected -None:422", "rejected -None:422"),
        (
            answer(413),
            "not_processed again[0]0s* again[1,2]0s*",
            "not_processed again[0]0s* again[1,2]0s*",
        ),
        (
            answer(429),
            "not_processed again[0,1,2]backoff slower",
            "not_processed again[0,1,2]backoff slower",
        ),
        (answer(500), "unknown", "not_processed again[0,1,2]backoff"),
        (NO_ANSWER, "unknown", "not_processed again[0,1,2]backoff"),
        (NOT_OPENED, "not_processed again[0,1,2]backoff", "not_processed again[0,1,2]backoff"),
    ],
)
def test_lytics_upload_and_dry_run(exchange: Exchange, expected: str, dry: str) -> None:
    assert summary(lytics.judge_upload(exchange, 3)) == expected
    assert summary(lytics.judge_dry_run(exchange, 3)) == dry


def amp400(error: str = "Invalid field values on some events", **more: Any) -> Exchange:
    return answer(400, {"code": 400, "error": error, **more})


def amp429(**more: Any) -> Exchange:
    return answer(429, {"code": 429, "error": "Too many requests", **more})


IDS = [("ann", "d0"), ("bob", "d1"), ("", "d2"), ("dan", "")]


@pytest.mark.parametrize(
    ("exchange", "expected"),
    [
        (answer(200, {"code": 200, "events_ingested": 4}), "delivered"),
        (answer(200, {"code": 200, "events_ingested": 2}), "delivered"),
        (answer(200, body=HTML), "unknown"),
        (
            amp400(events_with_invalid_fields={"time": [1]}),
            "not_processed -1:events_with_invalid_fields.time again[0,2,3]0s*",
        ),
        (
            amp400(
                events_with_missing_fields={"event_type": [0]},
                events_with_invalid_id_lengths={"user_id": [0, 2]},
                silenced_events=[3],
            ),
            (
                "not_processed -0:events_with_missing_fields.event_type"
                " -2:events_with_invalid_id_lengths.user_id -3:silenced again[1]0s*"
            ),
        ),
        (
            amp400(events_with_invalid_fields={"time": [0, 1, 2, 3]}),
            "not_processed" + "".join(f" -{n}:events_with_invalid_fields.time" for n in range(4)),
        ),
        (
            amp400(events_with_invalid_fields={"time": [9, -1, True]}),
            "not_processed again[0,1]0s* again[2,3]0s*",
        ),
        (amp400("Invalid event JSON"), "not_processed again[0,1]0s* again[2,3]0s*"),
        (amp400("Invalid JSON request body"), "rejected -None:400"),
        (
            amp400("Request missing required field", missing_field="events"),
            "rejected -None:missing_field",
        ),
        (
            amp400("Request missing required field", missing_field="api_key"),
            "not_processed stop(destination,2)",
        ),
        (amp400("Invalid API key: planted-key"), "not_processed stop(destination,2)"),
        (answer(403, {"code": 403, "error": "Forbidden"}), "not_processed stop(destination,1)"),
        (answer(404), "not_processed stop(destination,2)"),
        (answer(413), "not_processed again[0,1]0s* again[2,3]0s*"),
        (amp429(), "not_processed again[0,1,2,3]15s slower"),
        (amp429(throttled_events=[1, 2]), "not_processed again[0,3]0s* again[1,2]15s slower"),
        (amp429(throttled_events=[0, 1, 2, 3]), "not_processed again[0,1,2,3]15s slower"),
        (
            amp429(
                throttled_events=[1, 2],
                exceeded_daily_quota_users={"bob": 500200},
                exceeded_daily_quota_devices={"d0": 500900},
            ),
            "not_processed -1:daily_quota again[0,3]0s* again[2]15s slower",
        ),
        (answer(500), "unknown"),
        (answer(502, body=HTML), "unknown"),
        (answer(503), "not_processed again[0,1,2,3]backoff"),
        (answer(504), "unknown"),
        (NO_ANSWER, "unknown"),
        (NOT_OPENED, "not_processed again[0,1,2,3]backoff"),
    ],
)
def test_amplitude_events(exchange: Exchange, expected: str) -> None:
    assert summary(amplitude.judge_events(exchange, 4, wait=15, ids=IDS)) == expected


def test_amplitude_a_single_event_is_not_halved() -> None:
    assert summary(amplitude.judge_events(answer(413), 1, wait=15)) == "rejected -None:413"
    verdict = amplitude.judge_events(amp400("Invalid event JSON"), 1, wait=15)
    assert summary(verdict) == "rejected -None:400"


@pytest.mark.parametrize(
    ("exchange", "expected"),
    [
        (answer(200, body=b"success"), "delivered"),
        (answer(200, body=b" success\n"), "delivered"),
        (answer(200, body=HTML), "unknown"),
        (answer(400, body=b"missing_event"), "rejected -None:400"),
        (answer(400, body=b"invalid api_key"), "not_processed stop(destination,2)"),
        (answer(413), "not_processed again[0]0s* again[1,2]0s*"),
        (answer(429), "not_processed again[0,1,2]15s"),
        (answer(500), "unknown"),
        (NO_ANSWER, "unknown"),
    ],
)
def test_amplitude_identify(exchange: Exchange, expected: str) -> None:
    assert summary(amplitude.judge_identify(exchange, 3)) == expected


def test_no_stop_repeats_what_the_vendor_said() -> None:
    verdict = amplitude.judge_events(amp400("Invalid API key: planted-key"), 4, wait=15)
    assert verdict.stop is not None
    assert "planted-key" not in verdict.stop.message
    assert "AMPLITUDE_API_KEY" in verdict.stop.message


def test_a_restricted_event_name_stops_its_sync_and_says_what_to_set() -> None:
    exchange = answer(200, PARTIAL | {"unprocessed": [skipped(2, 513)]})
    stop = clevertap.judge_upload(exchange, 3, 0).stop
    assert stop is not None
    assert stop.scope is Scope.SYNC
    assert "clevertap.event_name" in stop.message
