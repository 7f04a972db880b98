"""CleverTap: events and profile properties by `/1/upload`, and the custom list in three calls.

Sources: Upload Events and Upload User Profiles API (answers, positions, codes), API Errors, API
Request Limits; the numbers are kept in `seeds/vendors/request_limits.csv`. What is UNVERIFIED
stands in `docs/destinations/clevertap.md`.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

import httpx

from relay.apply.http import Connection, put_file
from relay.apply.ledger_lines import Rejection
from relay.apply.limits import Limits
from relay.apply.verdicts import (
    Again,
    Exchange,
    Scope,
    Stop,
    Verdict,
    delivered,
    halves,
    judge_transport,
    refused,
    retry,
    stopped,
    throttled,
    unknown,
)
from relay.apply.ways import Call, Way
from relay.errors import PlanError
from relay.faultpoints import reach
from relay.http import is_loopback
from relay.plan.manifest import PlanSync
from relay.settings import Environment

RECORD_NUMBER = re.compile(r"Skipped record number\s*:\s*(\d+)")
RESTRICTED_EVENT = "513"
SERVER_ERROR = "555"
FIRST_WAIT_SECONDS = 2.0

ADDRESS_PATH = "/get_custom_list_segment_url"
CREDENTIALS = "CLEVERTAP_ACCOUNT_ID, CLEVERTAP_PASSCODE and CLEVERTAP_REGION"


def connect(
    environment: Environment, limits: Limits, transport: httpx.BaseTransport | None
) -> Connection:
    """A connection with the account's credentials.

    Raises:
        ConfigurationError: A variable is missing or cannot be right.
    """
    environment.require("clevertap_account_id", "clevertap_passcode")
    passcode = environment.clevertap_passcode
    headers = {
        "X-CleverTap-Account-Id": environment.clevertap_account_id or "",
        "X-CleverTap-Passcode": passcode.get_secret_value() if passcode else "",
    }
    return Connection(
        environment.clevertap_host(),
        variable="CLEVERTAP_API_URL",
        headers=headers,
        connections=limits.concurrency,
        transport=transport,
    )


class Upload(Way):
    """Events or profiles by `/1/upload`, judged record by record."""

    destination = "clevertap"
    delivery = "events"
    records = ("d",)
    identifying = ("identity", "objectId", "FBID", "GPID")
    has_dry_run = True

    def __init__(
        self,
        connection: Connection,
        limits: Limits,
        secrets: Sequence[str],
        *,
        query: dict[str, str],
    ) -> None:
        super().__init__(limits, secrets)
        self._connection = connection
        self._query = query

    def send(self, call: Call) -> Exchange:
        """Upload the records of the body."""
        return self._connection.send(
            call.method,
            call.path,
            query={**call.query, **self._query},
            body=call.body,
            content_type=call.content_type,
        )

    def judge(self, call: Call, exchange: Exchange, tries: int) -> Verdict:
        """See `judge_upload`."""
        return judge_upload(exchange, call.rows, tries)

    def dry_way(self) -> Way:
        """The same with `dryRun=1`."""
        return Upload(self._connection, self.limits, self.secrets, query={"dryRun": "1"})

    def may_repeat(self, sync: PlanSync, first_sent_at: datetime, now: datetime) -> bool:
        """An event stored twice is two events; a property set twice, or a dry run, does no harm."""
        return (
            bool(self._query) or sync.delivery == "profile_property" or sync.on_unknown == "resend"
        )

    def close(self) -> None:
        """Give the connections back."""
        self._connection.close()


class CustomList(Way):
    """The whole list as a CSV: ask for an address, upload to it, say that it is there."""

    destination = "clevertap"
    delivery = "custom_list"
    records = None

    def __init__(
        self, connection: Connection, limits: Limits, secrets: Sequence[str], *, host: str
    ) -> None:
        super().__init__(limits, secrets)
        self._connection = connection
        self._allow_loopback = is_loopback(httpx.URL(host))

    def send(self, call: Call) -> Exchange:
        """Make the three calls, as far as they go; the exchange is that of the last one made."""
        document = json.loads(call.body)
        if call.list_file is None:
            raise PlanError("a custom list without its members file; run `relay plan`")
        list_file = call.list_file.with_name(str(document["filename"]))
        asked = self._connection.send("POST", ADDRESS_PATH, step="address")
        if judge_custom_list(asked, call.rows).outcome != "delivered":
            return asked
        address = str((asked.document() or {})["presignedS3URL"])
        reach("apply.list.address")
        put = put_file(
            address, list_file, content_type="text/csv", allow_loopback=self._allow_loopback
        )
        if judge_custom_list(put, call.rows).outcome != "delivered":
            return put
        reach("apply.list.uploaded")
        body = json.dumps({**document, "url": address}, ensure_ascii=False)
        completed = self._connection.send(
            call.method,
            call.path,
            query=call.query,
            body=body.encode(),
            content_type=call.content_type,
            step="complete",
        )
        # The address is a key: should the answer repeat it, it goes no further than here.
        return replace(completed, body=completed.body.replace(address.encode(), b"***"))

    def judge(self, call: Call, exchange: Exchange, tries: int) -> Verdict:
        """See `judge_custom_list`."""
        return judge_custom_list(exchange, call.rows)

    def may_repeat(self, sync: PlanSync, first_sent_at: datetime, now: datetime) -> bool:
        """The list replaces the list: once or twice is the same."""
        return True

    def close(self) -> None:
        """Give the connections back."""
        self._connection.close()


def judge_upload(exchange: Exchange, rows: int, tries: int) -> Verdict:
    """What an answer of `POST /1/upload` means for its `rows` records.

    Args:
        exchange: The answer.
        rows: Records in the request.
        tries: How often these records were sent before in this way, for the answers that are
            worth one more try.
    """
    verdict = _judge_status(exchange, rows, tries)
    if verdict is not None:
        return verdict
    document = exchange.document()
    if document is None or "status" not in document:
        return unknown("answered 200 without a verdict")
    return _judge_records(document, rows, tries)


def judge_custom_list(exchange: Exchange, rows: int) -> Verdict:
    """What an answer of one of the three custom-list calls means for all rows of the sync.

    Until the last call nothing has changed at CleverTap: whatever happens there may go again.
    """
    is_last = exchange.step == "complete"
    if exchange.step == "put":
        if exchange.status is not None and 200 <= exchange.status < 300:
            return delivered("file taken")
        # The address lives for a day; a new try asks for a new one.
        return retry(rows, f"the file was not taken ({exchange.status or exchange.failure})")
    verdict = _judge_status(exchange, rows, tries=1)
    if verdict is not None and verdict.outcome == "unknown" and not is_last:
        return retry(rows, verdict.reason)
    if verdict is not None:
        return verdict
    document = exchange.document()
    if document is None:
        return unknown("answered without JSON") if is_last else retry(rows, "no JSON")
    if document.get("status") != "success":
        return refused(document.get("code", "fail"), document.get("error", "no reason given"))
    if not is_last and not isinstance(document.get("presignedS3URL"), str):
        return refused("no_address", "success without a presignedS3URL to upload to")
    return delivered()


def _judge_status(exchange: Exchange, rows: int, tries: int) -> Verdict | None:
    """By the HTTP status; None for a 200, whose body decides."""
    verdict = judge_transport(exchange, rows, host_variable="CLEVERTAP_REGION, CLEVERTAP_API_URL")
    if verdict is not None:
        return verdict
    status = exchange.status or 0
    document = exchange.document() or {}
    text = document.get("error", "no reason given")
    if status == 401:
        return stopped(
            f"refused the credentials (401); check {CREDENTIALS}: an account of another region "
            "is refused in the same way",
            is_configuration=True,
        )
    if status in (403, 404, 405):
        return stopped(
            f"answered {status}; check {CREDENTIALS} and CLEVERTAP_API_URL", is_configuration=True
        )
    if status == 429:
        return throttled(rows, "too many requests at once (429)")
    if status == 400 and tries == 0:
        return retry(rows, "malformed request (400), which may be spurious")
    if status == 413 and rows > 1:
        return halves(rows, "too large (413)")
    if status >= 500:
        return unknown(f"answered {status}")
    if status >= 400:
        return refused(status, text)
    return None


def _judge_records(document: dict[str, Any], rows: int, tries: int) -> Verdict:
    """By the body of a 200: how many were processed, and which were not and why."""
    entries = document.get("unprocessed") or []
    processed = document.get("processed")
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        return unknown("answered 200 with a verdict that cannot be read")
    if not entries:
        if document["status"] == "success" and processed in (None, rows):
            return delivered()
        if document["status"] == "fail" and processed in (None, 0):
            return refused(document.get("code", "fail"), document.get("error", "no reason given"))
        return unknown(f"processed {processed} of {rows}, without saying which")
    positions, doubtful = positions_of([str(entry.get("error", "")) for entry in entries], rows)
    rejected: list[Rejection] = []
    again: list[int] = []
    for position, entry in zip(positions, entries, strict=True):
        if position is None:
            continue
        code = str(entry.get("code", "fail"))
        if code == SERVER_ERROR and tries == 0:
            again.append(position)
        else:
            text = str(entry.get("error", "no reason given"))
            rejected.append(Rejection(position, code, text))
    listed = {*again, *(rejection.position for rejection in rejected)}
    unnamed = sum(position is None for position in positions)
    if processed is not None and processed != rows - len(listed) - unnamed:
        doubtful = tuple(position for position in range(rows) if position not in listed)
    stop = None
    if any(str(entry.get("code")) == RESTRICTED_EVENT for entry in entries):
        stop = Stop(
            Scope.SYNC,
            "CleverTap reserves this event's name for itself (code 513): set clevertap.event_name "
            "in syncs.yml, such as `Amplitude Cohort Sync`, and run `relay plan`",
            is_configuration=True,
        )
    return Verdict(
        "delivered",
        rejected=tuple(rejected),
        unknown=doubtful,
        again=(Again(again, FIRST_WAIT_SECONDS),) if again else (),
        stop=stop,
        reason=f"{len(entries)} of {rows} not processed",
    )


def positions_of(errors: Sequence[str], rows: int) -> tuple[list[int | None], tuple[int, ...]]:
    """Which records the `unprocessed` entries speak of, by their words and their order.

    An entry names its record ("Skipped record number : N", counted from 1), or stands in the order
    of the records between two that do. Where that leaves a choice, the entry has no position and
    every record it may mean is doubtful.

    Returns:
        A 0-based position, or None, per entry; and the doubtful positions.
    """
    found: list[int | None] = []
    for error in errors:
        match = RECORD_NUMBER.search(error)
        position = int(match[1][:9]) - 1 if match else -1
        found.append(position if 0 <= position < rows else None)
    named = [position for position in found if position is not None]
    if len(named) == len(found):
        return found, ()
    if named != sorted(named):
        others = [position for position in range(rows) if position not in set(named)]
        return found, tuple(others)
    doubtful: list[int] = []
    begin = 0
    while begin < len(found):
        end = begin
        while end < len(found) and found[end] is None:
            end += 1
        if end > begin:
            before = found[begin - 1] if begin else None
            after = found[end] if end < len(found) else None
            gap = range(0 if before is None else before + 1, rows if after is None else after)
            if len(gap) == end - begin:
                found[begin:end] = gap
            else:
                doubtful.extend(gap)
        begin = end + 1
    return found, tuple(doubtful)
