"""Lytics as one vendor: two hosts that take rows, and the profiles that come of them."""

import gzip
import zlib
from collections import Counter
from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import Any

from relay.emulate.clock import Clock
from relay.emulate.exchange import Answer, Call, Handler, Route
from relay.emulate.lytics.expressions import read_time
from relay.emulate.lytics.mappings import Kind, additional_mappings, default_mappings, mapping
from relay.emulate.lytics.profiles import Key, Profiles
from relay.emulate.lytics.rows import (
    DELIMITERS,
    BadRow,
    Rows,
    UnreadableError,
    appended,
    csv_rows,
    json_lines,
    json_rows,
)
from relay.emulate.lytics.switches import LyticsSwitches
from relay.emulate.vendor import Vendor

CSV_TYPES = ("application/csv", "text/csv")
JSON_TYPE = "application/json"
# So many may wait until somebody looks at a profile.
ROWS_UNAPPLIED = 20_000
MESSAGES = {401: "Not authorized", 404: "Not found", 405: "Method not allowed"}


class Lytics(Vendor):
    """The emulated Lytics account.

    Rows that were accepted are on profiles whenever one looks; the service itself takes its time.

    Args:
        clock: The time it goes by.
        token: The account's API token.
        switches: Limits and behaviours.
    """

    name = "lytics"

    def __init__(self, clock: Clock, *, token: str, switches: LyticsSwitches | None = None) -> None:
        super().__init__(clock)
        self.switches = switches or LyticsSwitches()
        self._token = token
        self.mappings = default_mappings()
        self._profiles = Profiles()
        self._unapplied: list[Callable[[], None]] = []
        self.rows: Counter[str] = Counter()
        self.dry_runs = 0
        path = "/collect/{kind}/{stream}"
        self.offer(
            {
                "lytics": [
                    _collecting("json", path.replace("{kind}", "json"), self._checked(self._json)),
                    Route("streams", "GET", "/api/schema/_streams", self._checked(self._streams)),
                ],
                "lytics_bulk": [
                    _collecting("bulk", path.replace("{kind}", "bulk"), self._checked(self._bulk))
                ],
            }
        )

    def map(self, stream: str, source: str, target: str, kind: Kind) -> None:
        """Add a mapping to a stream; rows uploaded before are not mapped again.

        Raises:
            ValueError: The source is not an expression.
        """
        with self.lock:
            self._apply()
            self.mappings.setdefault(stream, []).append(mapping(source, target, kind))

    def map_additional_fields(self) -> None:
        """Switch on the fields that the page keeps out by default."""
        with self.lock:
            self._apply()
            self.mappings["amplitude_events"].extend(additional_mappings())

    @property
    def profiles(self) -> Profiles:
        """What came of the rows so far."""
        self._apply()
        return self._profiles

    def members(self, cohort_id: str) -> set[Key]:
        """Every unique id of every profile that is in a cohort: (field, value)."""
        with self.lock:
            return {
                key
                for profile in self.profiles.profiles.values()
                for key in profile.keys
                if (held := profile.maps.get("amplitude_cohort_ids", {}).get(cohort_id)) is not None
                and held.value is True
            }

    def profile(self, field: str, value: str) -> dict[str, Any] | None:
        """The fields of the profile of a unique id; None when there is none."""
        with self.lock:
            found = self.profiles.find((field, value))
            return None if found is None else found.fields()

    def error(self, status: int, call: Call) -> Answer:
        """Lytics' envelope."""
        return refusal(status, MESSAGES.get(status, "internal error"))

    def remembered(self) -> dict[str, Any]:
        """Rows by stream, profiles with their unique ids, and what could not be put on one."""
        return {
            "rows": dict(self.rows),
            "profiles": [
                {
                    "unique_ids": [list(key) for key in sorted(profile.keys)],
                    "fields": profile.fields(),
                }
                for profile in self.profiles.profiles.values()
            ],
            "unidentified": self.profiles.unidentified,
            "oversized": self.profiles.oversized,
            "dry_runs": self.dry_runs,
        }

    def _checked(self, handle: Callable[[Call], Answer]) -> Handler:
        def checked(call: Call) -> Answer:
            token = call.header(b"authorization")
            if token is None and self.switches.token_in_query:
                token = call.parameter("access_token")
            if token != self._token:
                return refusal(401, MESSAGES[401])
            return handle(call)

        return checked

    def _streams(self, call: Call) -> Answer:
        """`GET /api/schema/_streams`; the shape of its data is UNVERIFIED: a list of names."""
        return Answer.of({"status": 200, "message": "success", "data": sorted(self.rows)})

    def _json(self, call: Call) -> Answer:
        """`POST /collect/json/{stream}`: an object or an array of objects, under 10 MB."""
        if len(call.body) >= self.switches.max_bytes:
            return refusal(413, "request body too large")
        if call.content_type != JSON_TYPE:
            return refusal(400, f"unsupported content type {call.content_type}")
        if call.header(b"content-encoding") is not None:
            return refusal(400, "unsupported content encoding")
        return self._collect(call, json_rows(call.body))

    def _bulk(self, call: Call) -> Answer:
        """`POST /collect/bulk/{stream}`: CSV or JSON lines, as they are or as gzip."""
        if len(call.body) >= self.switches.bulk_max_bytes:
            return refusal(413, "request body too large")
        body = call.body
        encoding = call.header(b"content-encoding")
        if encoding == "gzip":
            try:
                body = gzip.decompress(body)
            except (OSError, EOFError, zlib.error):
                return refusal(400, "invalid gzip")
        elif encoding is not None:
            return refusal(400, "unsupported content encoding")
        if call.content_type == JSON_TYPE:
            return self._collect(call, json_lines(body))
        if call.content_type not in CSV_TYPES:
            return refusal(400, f"unsupported content type {call.content_type}")
        delimiter = DELIMITERS.get(call.parameter("delimiter") or ",")
        if delimiter is None:
            return refusal(400, "unknown delimiter")
        headers = call.parameter("headers")
        columns = None if headers is None else headers.split(",")
        return self._collect(call, csv_rows(body, headers=columns, delimiter=delimiter))

    def _collect(self, call: Call, rows: Rows) -> Answer:
        """Take rows in until the first bad one, or past them with `droperrors`."""
        drop, dry = _flag(call, "droperrors"), _flag(call, "dryrun")
        good: list[tuple[dict[str, Any], datetime]] = []
        rejected = 0
        stopped: str | None = None
        try:
            extra = appended(call.parameter("append") or "{}")
            for position, row in enumerate(rows):
                read = self._timed(row, call.parameter("timestamp_field"))
                if position in call.refused:
                    rejected += 1
                elif not isinstance(read, BadRow):
                    good.append((read[0] | dict(extra), read[1]))
                elif drop:
                    rejected += 1
                else:
                    stopped = read.text()
                    break
        except UnreadableError as error:
            return refusal(400, str(error))
        self.dry_runs += dry
        if not dry and (stopped is None or self.switches.prefix_kept):
            self._store(call.parameters["stream"], good)
        if stopped is not None:
            return refusal(400, stopped)
        data = {
            "message_count": len(good),
            "rejected_count": rejected,
            "content-type": call.content_type,
            "droperrors": drop,
            "dryrun": dry,
            "timestamp_field": call.parameter("timestamp_field") or "",
            "filename": call.parameter("filename") or "",
        }
        return Answer.of({"status": 200, "message": "success", "data": data})

    def _timed(
        self, row: dict[str, Any] | BadRow, name: str | None
    ) -> tuple[dict[str, Any], datetime] | BadRow:
        """A row with its event time; without the column it names, a row is bad (our choice)."""
        if isinstance(row, BadRow):
            return row
        if name is None:
            return row, self.clock.now()
        if name not in row:
            return BadRow("timestamp_field", f"there is no column {name}")
        moment = read_time(row[name])
        if moment is None:
            return BadRow("timestamp_field", f"{name} is not a time")
        return row, moment

    def _store(self, stream: str, rows: list[tuple[dict[str, Any], datetime]]) -> None:
        self.rows[stream] += len(rows)
        apply = partial(
            self._profiles.apply,
            mappings=self.mappings.get(stream, []),
            empty_is_missing=self.switches.empty_is_missing,
            max_keys=self.switches.max_neighbours,
        )
        # Not while the sender waits: a profile is far more work than its row.
        self._unapplied += [partial(apply, row, at=moment) for row, moment in rows]
        if len(self._unapplied) > ROWS_UNAPPLIED:
            self._apply()

    def _apply(self) -> None:
        """Put on profiles what was stored, as it was to be mapped then."""
        rows, self._unapplied = self._unapplied, []
        for apply in rows:
            apply()


def refusal(status: int, message: str) -> Answer:
    """Lytics' error body."""
    return Answer.of({"data": None, "message": message, "status": status}, status)


def _collecting(name: str, path: str, handle: Handler) -> Route:
    dry = f"{name}.dry_run"
    return Route(
        name,
        "POST",
        path,
        handle,
        variant=lambda call: dry if _flag(call, "dryrun") else name,
        variants=(dry,),
        partial=True,
    )


def _flag(call: Call, name: str) -> bool:
    return call.parameter(name) in ("true", "1")
