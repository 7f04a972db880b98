"""One line of the ledger: what it may say, and how it stands in the file."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

KINDS = (
    "sending",
    "answered",
    "confirmed",
    "adopted",
    "resolved",
    "paused",
    "resumed",
    "approved",
    "checked",
    "superseded",
)
OUTCOMES = ("delivered", "rejected", "not_processed", "unknown")
LONGEST_TEXT = 200
_KEYS = (
    "seq",
    "at",
    "kind",
    "plan_id",
    "sync",
    "request",
    "attempt",
    "http_status",
    "outcome",
    "rejected",
    "unknown",
    "detail",
)


@dataclass(frozen=True, slots=True)
class Rejection:
    """One row the vendor refused.

    Its 0-based position in the request (None: the whole request), the vendor's code as text, and
    its words, at most 200 characters and never our record.
    """

    position: int | None
    code: str
    text: str


@dataclass(frozen=True, slots=True)
class LedgerLine:
    """One line; the meaning of each part is told at `Ledger.append`."""

    seq: int
    at: datetime
    kind: str
    plan_id: str | None
    sync: str | None
    request: int | None = None
    attempt: int | None = None
    http_status: int | None = None
    outcome: str | None = None
    rejected: tuple[Rejection, ...] = ()
    unknown: tuple[int, ...] = ()
    detail: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse what no line may say.

        Raises:
            ValueError: With the part that is wrong and what it may be.
        """
        if self.kind not in KINDS:
            raise ValueError(f"kind {self.kind!r}: expected one of {', '.join(KINDS)}")
        if (self.outcome is not None) != (self.kind == "answered"):
            raise ValueError("an outcome stands with kind `answered`, and only there")
        if self.outcome is not None and self.outcome not in OUTCOMES:
            raise ValueError(f"outcome {self.outcome!r}: expected one of {', '.join(OUTCOMES)}")
        if self.kind in ("sending", "answered") and None in (self.plan_id, self.sync, self.request):
            raise ValueError(f"kind {self.kind!r} needs plan_id, sync and request")


def encode_line(line: LedgerLine) -> bytes:
    """The line as bytes, newline included; long vendor texts are shortened."""
    document = {
        "seq": line.seq,
        "at": line.at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        "kind": line.kind,
        "plan_id": line.plan_id,
        "sync": line.sync,
        "request": line.request,
        "attempt": line.attempt,
        "http_status": line.http_status,
        "outcome": line.outcome,
        "rejected": [
            {
                "position": rejection.position,
                "code": rejection.code,
                "text": rejection.text[:LONGEST_TEXT],
            }
            for rejection in line.rejected
        ],
        "unknown": list(line.unknown),
        "detail": line.detail,
    }
    text = json.dumps(document, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.encode("utf-8", "backslashreplace") + b"\n"


def decode_line(data: bytes) -> LedgerLine:
    """The line that stands in `data`.

    Raises:
        ValueError: It is no JSON object, lacks a key, or a value is not of its kind.
    """
    document = json.loads(data)
    if not isinstance(document, dict):
        raise ValueError("expected a JSON object")
    missing = [key for key in _KEYS if key not in document]
    if missing:
        raise ValueError(f"lacks {', '.join(missing)}")
    for key in ("seq", "request", "attempt", "http_status"):
        value = document[key]
        if (value is not None or key == "seq") and (type(value) is not int or value < 1):
            raise ValueError(f"{key} is {value!r}: expected a whole number above 0")
    for key in ("plan_id", "sync", "outcome"):
        if document[key] is not None and not isinstance(document[key], str):
            raise ValueError(f"{key} is {document[key]!r}: expected text or null")
    if not isinstance(document["detail"], dict):
        raise ValueError("detail is no object")
    if not isinstance(document["unknown"], list) or not all(
        type(position) is int and position >= 0 for position in document["unknown"]
    ):
        raise ValueError("unknown is no list of positions")
    return LedgerLine(
        seq=document["seq"],
        at=_time(document["at"]),
        kind=document["kind"],
        plan_id=document["plan_id"],
        sync=document["sync"],
        request=document["request"],
        attempt=document["attempt"],
        http_status=document["http_status"],
        outcome=document["outcome"],
        rejected=tuple(_rejection(entry) for entry in document["rejected"]),
        unknown=tuple(document["unknown"]),
        detail=document["detail"],
    )


def _time(value: object) -> datetime:
    if not isinstance(value, str):
        raise ValueError(f"at is {value!r}: expected an ISO 8601 time")
    time = datetime.fromisoformat(value)
    if time.tzinfo is None:
        raise ValueError(f"at is {value!r}: expected a time zone")
    return time.astimezone(UTC)


def _rejection(entry: object) -> Rejection:
    if not isinstance(entry, dict) or set(entry) != {"position", "code", "text"}:
        raise ValueError("rejected: expected entries of position, code and text")
    position = entry["position"]
    if position is not None and (type(position) is not int or position < 0):
        raise ValueError(f"rejected: position is {position!r}")
    return Rejection(position, str(entry["code"]), str(entry["text"]))
