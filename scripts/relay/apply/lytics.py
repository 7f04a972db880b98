"""Lytics: rows of the two streams as JSON arrays, each tried with `dryrun` before it is sent.

There is no key against doubles: a row sent twice is processed twice, and `amplitude_events` counts.
Whether rows before an error are kept is UNVERIFIED; they are taken to be. So nothing is sent that a
dry run did not take whole.

Source: Data Upload API (parameters, answers, limits).
"""

from collections.abc import Sequence
from datetime import datetime

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
    retry,
    stopped,
    throttled,
    unknown,
)
from relay.apply.ways import Call, Way
from relay.plan.manifest import PlanSync
from relay.settings import Environment

DRY_RUN = {"dryrun": "true"}
BULK_PATH = "/collect/bulk/"


def connect(
    environment: Environment, limits: Limits, transport: httpx.BaseTransport | None
) -> tuple[Connection, Connection]:
    """Connections to the JSON and the bulk host.

    Raises:
        ConfigurationError: A variable is missing or cannot be right.
    """
    environment.require("lytics_api_token")
    token = environment.lytics_api_token
    secret = token.get_secret_value() if token else ""
    hosts = {
        "LYTICS_API_URL": environment.lytics_host(),
        "LYTICS_BULK_URL": environment.lytics_bulk_host(),
    }
    json_host, bulk_host = (
        Connection(
            host,
            variable=variable,
            headers={"Authorization": secret},
            connections=limits.concurrency,
            transport=transport,
        )
        for variable, host in hosts.items()
    )
    return json_host, bulk_host


class Upload(Way):
    """Rows of a stream, tried before they are sent.

    The bulk host takes gzip, so what goes there is compressed; it serves plans whose files are sent
    to `/collect/bulk/`.
    """

    destination = "lytics"
    delivery = "members"
    records = ()
    identifying = ("amplitude_id", "user_id")
    has_dry_run = True
    rehearses = True

    def __init__(
        self, json_host: Connection, bulk_host: Connection, limits: Limits, secrets: Sequence[str]
    ) -> None:
        super().__init__(limits, secrets)
        self._hosts = json_host, bulk_host
        self._query: dict[str, str] = {}

    def send(self, call: Call) -> Exchange:
        """Upload the rows of the body."""
        is_bulk = call.path.startswith(BULK_PATH)
        return self._hosts[is_bulk].send(
            call.method,
            call.path,
            query={**call.query, **self._query},
            body=call.body,
            content_type=call.content_type,
            compress=is_bulk,
        )

    def judge(self, call: Call, exchange: Exchange, tries: int) -> Verdict:
        """See `judge_upload`."""
        return judge_upload(exchange, call.rows)

    def dry_way(self) -> Way:
        """The same with `dryrun=true`."""
        return DryRun(*self._hosts, self.limits, self.secrets)

    def may_repeat(self, sync: PlanSync, first_sent_at: datetime, now: datetime) -> bool:
        """A cohort row twice says the same; an event twice is counted twice."""
        return sync.kind == "cohort_sync" and sync.on_unknown == "resend"

    def close(self) -> None:
        """Give the connections back."""
        for host in self._hosts:
            host.close()


class DryRun(Upload):
    """Rows of a stream, validated and not stored; the row to blame is found by halves."""

    rehearses = False
    halves_refusals = True

    def __init__(
        self, json_host: Connection, bulk_host: Connection, limits: Limits, secrets: Sequence[str]
    ) -> None:
        super().__init__(json_host, bulk_host, limits, secrets)
        self._query = DRY_RUN

    def judge(self, call: Call, exchange: Exchange, tries: int) -> Verdict:
        """See `judge_dry_run`."""
        return judge_dry_run(exchange, call.rows)

    def may_repeat(self, sync: PlanSync, first_sent_at: datetime, now: datetime) -> bool:
        """Nothing is stored."""
        return True


def judge_upload(exchange: Exchange, rows: int) -> Verdict:
    """What an answer to a real upload means for its `rows` rows."""
    verdict = _judge_status(exchange, rows)
    if verdict is not None:
        return verdict
    if exchange.status == 400:
        return unknown("refused (400) after a dry run that was taken; rows may have been kept")
    counts = _counts(exchange)
    if counts is None:
        return unknown(f"answered {exchange.status} without counts")
    taken, rejected = counts
    if (taken, rejected) == (rows, 0):
        return delivered()
    return unknown(f"took {taken} of {rows} rows and rejected {rejected}, without saying which")


def judge_dry_run(exchange: Exchange, rows: int) -> Verdict:
    """What an answer to a dry run means: nothing is stored, so nothing is ever in doubt.

    `rejected` may concern any of the rows; whoever asks can try fewer.
    """
    verdict = _judge_status(exchange, rows)
    if verdict is not None and verdict.outcome == "unknown":
        return retry(rows, f"dry run: {verdict.reason}")
    if verdict is not None:
        return verdict
    if exchange.status == 400:
        document = exchange.document() or {}
        return refused(400, document.get("message") or "no reason given")
    counts = _counts(exchange)
    if counts is None:
        return retry(rows, f"dry run: answered {exchange.status} without counts")
    taken, rejected = counts
    if (taken, rejected) == (rows, 0):
        return delivered()
    return refused("counts", f"the dry run took {taken} of {rows} rows and rejected {rejected}")


def _judge_status(exchange: Exchange, rows: int) -> Verdict | None:
    """By the HTTP status; None for a 200 and a 400, whose bodies decide."""
    verdict = judge_transport(exchange, rows, host_variable="LYTICS_API_URL")
    if verdict is not None:
        return verdict
    status = exchange.status or 0
    if status in (401, 403):
        return stopped(
            f"refused the token ({status}); check LYTICS_API_TOKEN", is_configuration=True
        )
    if status in (404, 405):
        return stopped(
            f"answered {status}; check LYTICS_API_URL and LYTICS_BULK_URL", is_configuration=True
        )
    if status == 429:
        return throttled(rows, "too many requests (429)")
    if status == 413 and rows > 1:
        return halves(rows, "too large (413)")
    if status >= 500:
        return unknown(f"answered {status}")
    if status > 400:
        document = exchange.document() or {}
        return refused(status, document.get("message") or "no reason given")
    return None


def _counts(exchange: Exchange) -> tuple[int, int] | None:
    """Rows taken and rows rejected, where the answer is a success that tells them."""
    document = exchange.document() or {}
    data = document.get("data")
    if str(document.get("status")) != "200" or not isinstance(data, dict):
        return None
    taken, rejected = data.get("message_count"), data.get("rejected_count", 0)
    if type(taken) is not int or type(rejected) is not int:
        return None
    return taken, rejected
