"""MoEngage: members of a cohort by the Cohort Sync API.

A 200 says "accepted": MoEngage drops users it does not know without a word, which is why the plan
addresses known users only where it has a directory of them.

Sources: Cohort Sync API and Data API (answers), rate limit pages. The unit of `x-ratelimit-reset`
is told in two ways there; both are read.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import httpx

from relay.apply.http import Connection
from relay.apply.limits import Limits
from relay.apply.verdicts import (
    Exchange,
    Verdict,
    delivered,
    halves,
    judge_transport,
    refused,
    stopped,
    throttled,
    unknown,
)
from relay.apply.ways import Call, Way
from relay.plan.manifest import PlanSync
from relay.settings import Environment

CREDENTIALS = "MOENGAGE_WORKSPACE_ID, MOENGAGE_API_KEY and MOENGAGE_DATA_CENTER"
WINDOW_SECONDS = 60.0
LEAST_EPOCH = 100_000


def connect(
    environment: Environment, limits: Limits, transport: httpx.BaseTransport | None
) -> Connection:
    """A connection with the workspace's credentials.

    Raises:
        ConfigurationError: A variable is missing or cannot be right.
    """
    environment.require("moengage_workspace_id", "moengage_api_key")
    key = environment.moengage_api_key
    workspace = environment.moengage_workspace_id or ""
    return Connection(
        environment.moengage_host(),
        variable="MOENGAGE_API_URL",
        headers={"MOE-APPKEY": workspace},
        auth=(workspace, key.get_secret_value() if key else ""),
        connections=limits.concurrency,
        transport=transport,
    )


class CohortSync(Way):
    """Members added to or removed from a cohort."""

    destination = "moengage"
    delivery = "members"
    records = ("parameters", "members")
    identifying = ("uid",)
    halves_refusals = True

    def __init__(self, connection: Connection, limits: Limits, secrets: Sequence[str]) -> None:
        super().__init__(limits, secrets)
        self._connection = connection

    def send(self, call: Call) -> Exchange:
        """Send one request of members."""
        return self._connection.send(
            call.method,
            call.path,
            query=call.query,
            body=call.body,
            content_type=call.content_type,
        )

    def judge(self, call: Call, exchange: Exchange, tries: int) -> Verdict:
        """See `judge_cohort_sync`."""
        return judge_cohort_sync(exchange, call.rows)

    def may_repeat(self, sync: PlanSync, first_sent_at: datetime, now: datetime) -> bool:
        """Membership is a set: once or twice is the same, unless syncs.yml says to hold."""
        return sync.on_unknown == "resend"

    def close(self) -> None:
        """Give the connections back."""
        self._connection.close()


def judge_cohort_sync(exchange: Exchange, rows: int) -> Verdict:
    """What an answer of `POST /v1/integrations/cohortsync` means for its `rows` members."""
    verdict = judge_transport(
        exchange, rows, host_variable="MOENGAGE_DATA_CENTER, MOENGAGE_API_URL"
    )
    if verdict is not None:
        return verdict
    status = exchange.status or 0
    document = exchange.document()
    code, text = _error(document, status)
    if status < 300:
        if document is None:
            return unknown(f"answered {status} without JSON")
        return refused(code, text) if document.get("status") == "fail" else delivered()
    if status in (401, 409):
        return stopped(
            f"refused the credentials ({status}); check {CREDENTIALS}", is_configuration=True
        )
    if status == 403:
        return stopped(
            f"refused the account (403, {code}); it may be blocked or suspended: ask MoEngage",
            is_configuration=False,
        )
    if status in (404, 405, 415):
        return stopped(
            f"answered {status}; check MOENGAGE_DATA_CENTER and MOENGAGE_API_URL",
            is_configuration=True,
        )
    if status == 429:
        return throttled(rows, "rate limit (429)", wait=reset_after(exchange))
    if status == 413 and rows > 1:
        return halves(rows, "too large (413)")
    if status >= 500:
        return unknown(f"answered {status}")
    return refused(code, text)


def reset_after(exchange: Exchange) -> float | None:
    """Seconds until the limit opens again, at most its window; None where the answer is silent.

    A number above 100,000 is a UTC epoch second and is compared with the answer's own `date`.
    """
    text = exchange.headers.get("x-ratelimit-reset", "").strip()
    try:
        value = float(text)
    except ValueError:
        return None
    if value > LEAST_EPOCH:
        value -= _answered_at(exchange).timestamp()
    if not 0 <= value <= 10 * WINDOW_SECONDS:
        return None
    return min(value + 0.5, WINDOW_SECONDS)


def _answered_at(exchange: Exchange) -> datetime:
    try:
        return parsedate_to_datetime(exchange.headers.get("date", ""))
    except ValueError:
        return datetime.fromtimestamp(0, UTC)


def _error(document: dict[str, object] | None, status: int) -> tuple[str, str]:
    """The vendor's type and words of a failure."""
    error = (document or {}).get("error")
    if isinstance(error, dict):
        return str(error.get("type") or status), str(error.get("message") or "no reason given")
    message = error or (document or {}).get("message") or "no reason given"
    return str(status), str(message)
