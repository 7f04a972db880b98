"""CleverTap's events API: the events it serves, a day at a time, each day whole.

The API has no event ids and tells a day's events as they are now. So a day is read to its end
before any of it is stored, and what an earlier reading had and this one has not is withdrawn.
Engagement events it does not serve at all: those come by export file.
"""

import json
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

import httpx
from duckdb import DuckDBPyConnection

from relay.errors import ConfigurationError, VendorError
from relay.file_names import file_name_of
from relay.http import (
    RetryPolicy,
    StatusError,
    is_network_failure,
    open_client,
    read_error_body,
    retry,
    retry_after,
    short_text,
    stream,
)
from relay.load.clevertap_events import SOURCE, Load, name_key, start_counting, store_rows
from relay.load.engagement import next_load_id
from relay.load.landing import Landed, land, remove
from relay.load.rejected import (
    count_rejected_lines,
    keep_rejected_lines,
    start_rejected_lines,
)
from relay.load.result import LoadResult, Note
from relay.settings import Environment, Settings
from relay.warehouse import transaction

PATH = "/1/events.json"
# The largest page; what else a profile ever did is left out, it is three quarters of a record.
ENRICHMENT = "batch_size=5000&events=false&app=false"
IN_PROGRESS = "still in progress"
NOT_SERVED = "export not allowed"

_POLICY = RetryPolicy()


@dataclass(frozen=True)
class Patience:
    """How long a page that is still being prepared is waited for.

    Attributes:
        first_seconds: The first wait; each next one is half as long again, up to `most_seconds`.
        most_seconds: The longest wait.
        total_seconds: After this the day is given up.
    """

    first_seconds: float = 2.0
    most_seconds: float = 15.0
    total_seconds: float = 900.0


def load_clevertap_events(
    connection: DuckDBPyConnection,
    settings: Settings,
    events: Sequence[str],
    *,
    first: date,
    last: date,
    patience: Patience | None = None,
    stop: threading.Event | None = None,
    transport: httpx.BaseTransport | None = None,
) -> LoadResult:
    """Load some events of some days from the events API, each event and day as one transaction.

    Args:
        connection: Open warehouse; the caller holds the lock.
        settings: Keys, host, zone of the project, landing/ and clock.
        events: Names of events, spelt as in CleverTap.
        first: The first day, in the project's zone.
        last: The last day, inclusive.
        patience: How long a page is waited for.
        stop: Ends every wait when set.
        transport: For tests, instead of the network.

    Returns:
        The sum; `details` has `days`, one entry per event and day. An event or day that was refused
        is one of the `failures`, and nothing of it is stored.

    Raises:
        ConfigurationError: Keys or zone are not set, or the keys are not accepted.
        StoppedError: `stop` was set.

    Source:
        CleverTap, Get Events API.
    """
    zone = settings.env.clevertap_zone().key
    run = f"{settings.now().astimezone(UTC):%Y%m%dT%H%M%SZ}"
    result = LoadResult(SOURCE)
    days: list[dict[str, Any]] = []
    with _client(settings.env, transport) as client:
        reader = _Reader(client, patience or Patience(), stop or threading.Event())
        for event, day in _windows(events, first, last):
            folder = _folder(event, day)
            try:
                pages = [
                    land(settings.home, f"{folder}/{run}-{number}.json", [body])
                    for number, body in enumerate(reader.pages(event, day), start=1)
                ]
                with transaction(connection):
                    load = Load(next_load_id(connection), settings.now(), zone, "api")
                    one, is_new = _store_window(connection, event, day, pages, load)
            except VendorError as error:
                result += LoadResult(SOURCE, failures=(Note(f"{event} of {day}", str(error)),))
                days.append({"event": event, "day": day.isoformat(), "state": "failed"})
                continue
            if not is_new:
                for page in pages:
                    remove(page)
            result += one
            state = "loaded" if one.rows else "empty"
            days.append({"event": event, "day": day.isoformat(), "state": state, "rows": one.rows})
    return result + LoadResult(SOURCE, details={"days": days})


def _windows(events: Sequence[str], first: date, last: date) -> Iterator[tuple[str, date]]:
    for event in dict.fromkeys(events):
        for number in range((last - first).days + 1):
            yield event, first + timedelta(days=number)


def _slug(event: str) -> str:
    """The event's name as a folder that is neither hidden nor the one above."""
    return file_name_of(event.strip()).lstrip(".") or "-"


def _client(environment: Environment, transport: httpx.BaseTransport | None) -> httpx.Client:
    environment.require("clevertap_account_id", "clevertap_passcode")
    passcode = environment.clevertap_passcode
    headers = {
        "X-CleverTap-Account-Id": environment.clevertap_account_id or "",
        "X-CleverTap-Passcode": passcode.get_secret_value() if passcode else "",
        "Content-Type": "application/json",
    }
    return open_client(
        environment.clevertap_host(),
        name="CLEVERTAP_API_URL",
        headers=headers,
        transport=transport,
    )


@dataclass(frozen=True)
class _Reader:
    """Walks the pages of one event and day."""

    client: httpx.Client
    patience: Patience
    stop: threading.Event

    def pages(self, event: str, day: date) -> Iterator[bytes]:
        """The bodies of the pages in order, each as it came.

        Raises:
            VendorError: The event is not served, the walk does not end, or there was no answer.
            ConfigurationError: The keys are not accepted.
        """
        whole_day = int(f"{day:%Y%m%d}")
        question = {"event_name": event, "from": whole_day, "to": whole_day}
        body = self._ready("POST", f"{PATH}?{ENRICHMENT}", json.dumps(question).encode())
        cursor = _document(body).get("cursor")
        walked: set[str] = set()
        while cursor:
            if cursor in walked:
                raise VendorError(f"{event} of {day}: the cursor came again; the walk is stuck")
            walked.add(cursor)
            # A cursor is percent-encoded as it comes: it goes into the address untouched.
            body = self._ready("GET", f"{PATH}?cursor={cursor}", None)
            yield body
            cursor = _document(body).get("next_cursor")

    def _ready(self, method: str, address: str, content: bytes | None) -> bytes:
        """The answer, once the service has it ready."""
        wait, waited = self.patience.first_seconds, 0.0
        while True:
            body = retry(
                lambda: self._ask(method, address, content),
                policy=_POLICY,
                when=_may_repeat,
                stop=self.stop,
            )
            document = _document(body)
            if not _is_in_progress(document):
                _check(document)
                return body
            if waited >= self.patience.total_seconds:
                raise VendorError(
                    f"CleverTap was still preparing the page after {waited:.0f} s; try again later"
                )
            self.stop.wait(wait)
            waited += wait
            wait = min(wait * 1.5, self.patience.most_seconds)

    def _ask(self, method: str, address: str, content: bytes | None) -> bytes:
        try:
            with stream(self.client, method, address, content=content) as response:
                if response.status_code == httpx.codes.OK:
                    return response.read()
                text = short_text(read_error_body(response).decode("utf-8", "replace"))
                raise StatusError(response.status_code, text, retry_after(response))
        except StatusError as error:
            if error.status == httpx.codes.UNAUTHORIZED:
                raise ConfigurationError(
                    "CleverTap does not accept the keys; check CLEVERTAP_ACCOUNT_ID,"
                    " CLEVERTAP_PASSCODE and CLEVERTAP_REGION (keys hold in one region only)"
                ) from None
            if NOT_SERVED in error.text.lower():
                raise VendorError(_NOT_SERVED_TEXT) from None
            if _may_repeat(error) is False:
                raise VendorError(f"CleverTap answered {error}") from None
            raise


_NOT_SERVED_TEXT = (
    "CleverTap does not serve this event by API (engagement events never are); export it to files"
    " and load them with `relay load clevertap-events --path`"
)


def _may_repeat(error: Exception) -> bool | float:
    """Reading is harmless to repeat: after 429, 5xx and whatever the network did."""
    if isinstance(error, StatusError):
        if error.status == httpx.codes.TOO_MANY_REQUESTS or error.status >= 500:
            return True if error.retry_after is None else error.retry_after
        return False
    return is_network_failure(error)


def _document(body: bytes) -> dict[str, Any]:
    try:
        document = json.loads(body)
    except ValueError:
        raise VendorError("CleverTap's answer is no JSON") from None
    if not isinstance(document, dict):
        raise VendorError("CleverTap's answer is no JSON object")
    return document


def _is_in_progress(document: dict[str, Any]) -> bool:
    """Both forms that are told of: the error text, and status `partial`."""
    return IN_PROGRESS in str(document.get("error", "")).lower() or (
        document.get("status") == "partial" and "records" not in document
    )


def _check(document: dict[str, Any]) -> None:
    """Raise what CleverTap says with status 200."""
    if document.get("status") == "success":
        return
    said = short_text(str(document.get("error", document.get("status", "nothing"))))
    if NOT_SERVED in said.lower():
        raise VendorError(_NOT_SERVED_TEXT)
    raise VendorError(f"CleverTap answered: {said} (code {document.get('code')})")


def _store_window(
    connection: DuckDBPyConnection, event: str, day: date, pages: Sequence[Landed], load: Load
) -> tuple[LoadResult, bool]:
    """Store one event's day from its landed pages; what they have no more is withdrawn.

    Returns:
        The counts, and whether the day is another one than at its last reading.
    """
    start_counting(connection)
    start_rejected_lines(connection)
    read = new = 0
    for page in pages:
        batch = connection.execute(_RECORDS, [page.path.read_text(encoding="utf-8")])
        records = batch.to_arrow_table()
        events, stored = store_rows(connection, records, event, page.source_file, load)
        read += events
        new += stored
    start = int(f"{day:%Y%m%d}") * 1_000_000
    ((withdrawn,),) = connection.execute(_WITHDRAW, [event, start, start + 235_959]).fetchall()
    rejected = count_rejected_lines(connection)
    result = LoadResult(
        SOURCE,
        files=tuple(page.source_file for page in pages),
        rows=read + rejected,
        loaded=new,
        duplicates=read - new,
        rejected=rejected,
    )
    before = connection.execute(
        "select row_count from raw.clevertap_windows where event_name = ? and event_day = ?",
        [event, day],
    ).fetchone()
    if before == (result.rows,) and not new and not withdrawn:
        return result, False
    # What an earlier reading of the day could not read stands in this one too, or nowhere any more.
    connection.execute(
        "delete from raw.rejected_rows where source = ? and starts_with(source_file, ? || '/')",
        [SOURCE, _folder(event, day)],
    )
    keep_rejected_lines(
        connection,
        SOURCE,
        source_files=result.files,
        load_id=load.load_id,
        loaded_at=load.loaded_at,
    )
    connection.execute(
        "delete from raw.clevertap_windows where event_name = ? and event_day = ?", [event, day]
    )
    connection.execute(
        "insert into raw.clevertap_windows values (?, ?, ?, ?, ?, ?)",
        [event, day, result.rows, _folder_of(pages), load.load_id, _naive(load.loaded_at)],
    )
    return result, True


def _folder(event: str, day: date) -> str:
    """Where the pages of an event's day land, below landing/."""
    return f"{SOURCE}/api/{_slug(event)}/{day:%Y%m%d}"


def _folder_of(pages: Sequence[Landed]) -> str:
    return pages[0].source_file.rpartition("/")[0] if pages else ""


def _naive(instant: datetime) -> str:
    return instant.replace(tzinfo=None).isoformat()


_RECORDS = """
    with records as (
        select from_json(json_extract(?::json, '$.records'), '["JSON"]') as records
    )
    select
        cast(generate_subscripts(records, 1) as bigint) as line_number,
        encode(cast(unnest(records) as varchar)) as content,
        cast(unnest(records) as varchar) as record,
        cast(null as varchar) as problem
    from records
"""

_WITHDRAW = f"""
    update raw.clevertap_events as stored
    set is_withdrawn = true
    where
        stored.origin = 'api'
        and {name_key("stored.event_name")} = {name_key("?")}
        and stored.ts between ? and ?
        and not stored.is_withdrawn
        and not exists (
            select 1
            from seen_events
            where
                seen_events.event_key = stored.event_key
                and seen_events.occurrences >= stored.occurrence
        )
"""
