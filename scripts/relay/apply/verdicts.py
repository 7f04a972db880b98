"""What came back for a request, and what that means for its rows.

A destination's `judge` turns an `Exchange` into a `Verdict`. It is a pure function: no clock, no
network, no settings. Positions are 0-based in the records of that very request.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Final, Literal

from relay.apply.ledger_lines import Rejection

NOT_OPENED: Final = "not_opened"
NO_ANSWER: Final = "no_answer"


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request and what came of it.

    `status` is None when no answer came: `failure` then says whether the request certainly never
    left (`not_opened`) or may have arrived (`no_answer`). `step` names the call where a delivery
    takes several. `headers` have small letters.
    """

    status: int | None
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    failure: Literal["not_opened", "no_answer"] | None = None
    step: str = ""

    def document(self) -> dict[str, Any] | None:
        """The body where it is a JSON object, else None (gateways answer HTML)."""
        try:
            document = json.loads(self.body)
        except ValueError:
            return None
        return document if isinstance(document, dict) else None


class Scope(Enum):
    """How much has to stop: the sync, or everything that goes to the destination."""

    SYNC = "sync"
    DESTINATION = "destination"


@dataclass(frozen=True, slots=True)
class Stop:
    """Going on would meet the same answer: what is wrong, and whether the configuration is."""

    scope: Scope
    message: str
    is_configuration: bool = False


@dataclass(frozen=True, slots=True)
class Again:
    """Rows to send once more: at once, after `wait` seconds, or (None) after a growing wait.

    `fresh` counts their tries anew, because this answer made progress.
    """

    positions: Sequence[int]
    wait: float | None = None
    fresh: bool = False


@dataclass(frozen=True, slots=True)
class Verdict:
    """What an answer means.

    Attributes:
        outcome: As in the ledger. `delivered` speaks of the rows that stand in none of `rejected`,
            `unknown` and `again`; `rejected` of all of them; `not_processed` says that none was
            taken; `unknown` that any may have been.
        rejected: Refused rows by position; one entry without position for outcome `rejected`.
        unknown: Rows of unknown outcome, though there was an answer.
        again: Rows to send again.
        stop: Set when nothing more should go this way.
        is_throttled: The destination says that we are too fast.
        hold: Seconds for which nothing at all should be sent there.
        reason: In a few words, for people; no vendor text.
    """

    outcome: Literal["delivered", "rejected", "not_processed", "unknown"]
    rejected: tuple[Rejection, ...] = ()
    unknown: tuple[int, ...] = ()
    again: tuple[Again, ...] = ()
    stop: Stop | None = None
    is_throttled: bool = False
    hold: float = 0.0
    reason: str = ""


def delivered(reason: str = "") -> Verdict:
    """Every row was taken."""
    return Verdict("delivered", reason=reason)


def refused(code: object, text: object) -> Verdict:
    """The request was refused as a whole, for good."""
    return Verdict("rejected", (Rejection(None, str(code), str(text)),), reason=f"refused ({code})")


def unknown(reason: str) -> Verdict:
    """The rows may have been taken or not."""
    return Verdict("unknown", reason=reason)


def retry(rows: int, reason: str, *, wait: float | None = None) -> Verdict:
    """Nothing was taken; the same rows may go again."""
    return Verdict("not_processed", again=(Again(range(rows), wait),), reason=reason)


def throttled(rows: int, reason: str, *, wait: float | None = None) -> Verdict:
    """Nothing was taken because we are too fast; nobody sends for `wait` seconds."""
    again = (Again(range(rows), wait),)
    return Verdict("not_processed", again=again, is_throttled=True, hold=wait or 0.0, reason=reason)


def halves(rows: int, reason: str) -> Verdict:
    """Nothing was taken; send each half alone."""
    middle = rows // 2
    again = (Again(range(middle), 0.0, fresh=True), Again(range(middle, rows), 0.0, fresh=True))
    return Verdict("not_processed", again=again, reason=reason)


def stopped(message: str, *, is_configuration: bool) -> Verdict:
    """Nothing was taken, and nothing will be until somebody acts."""
    stop = Stop(Scope.DESTINATION, message, is_configuration)
    return Verdict("not_processed", stop=stop, reason="stopped")


def judge_transport(exchange: Exchange, rows: int, *, host_variable: str) -> Verdict | None:
    """What is the same for all vendors: no answer, a redirect, a gateway that gave up.

    Returns:
        None where the vendor's own rules must decide.
    """
    if exchange.failure == NOT_OPENED:
        return retry(rows, "no connection")
    if exchange.status is None:
        return unknown("no answer after sending")
    if 300 <= exchange.status < 400:
        return stopped(
            f"answered {exchange.status}, a redirect, which is not followed with data; "
            f"check {host_variable}",
            is_configuration=True,
        )
    if exchange.status == 408:
        return unknown("answered 408")
    return None
