"""The ledger of cohort downloads in `raw.cohort_requests`: each costs one of the monthly budget.

A request is noted before it is sent and its id before it is polled, so that a run that was killed
goes on with what is paid for. Downloads run in threads, which share the one connection by a lock.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from duckdb import DuckDBPyConnection

from relay.warehouse import transaction

# Failed downloads in a row that are tried again by the very next run.
_FREE_RETRIES = 1


@dataclass(frozen=True)
class CohortRequest:
    """A download that was asked for.

    Attributes:
        request_id: Amplitude's id of it.
        cohort_id: Of which cohort.
        computed_at: `lastComputed` when it was asked for, UTC.
        state: As `raw.cohort_requests` has it.
        source_file: Its file below landing/, once it is there.
        reason: Why it is in that state.
    """

    request_id: str
    cohort_id: str
    computed_at: datetime
    state: str
    source_file: str | None = None
    reason: str | None = None


@dataclass
class RequestLedger:
    """Reads and writes the ledger; its methods may be called from any thread.

    Attributes:
        connection: Open warehouse with the raw tables.
        now: The clock of this run.
        lock: Held while the connection is used.
    """

    connection: DuckDBPyConnection
    now: datetime
    lock: threading.RLock = field(default_factory=threading.RLock)

    @contextmanager
    def writing(self) -> Iterator[DuckDBPyConnection]:
        """A transaction, alone with the connection."""
        with self.lock, transaction(self.connection):
            yield self.connection

    def sending(self, cohort_id: str, computed_at: datetime) -> None:
        """Note that a download is about to be asked for; from here on it counts as spent."""
        with self.writing() as connection:
            connection.execute(
                "insert into raw.cohort_requests"
                " (request_id, cohort_id, requested_at, last_computed, state)"
                " values (?, ?, ?, ?, 'sending')",
                [_pending_id(cohort_id), cohort_id, _naive(self.now), _naive(computed_at)],
            )

    def requested(self, cohort_id: str, request_id: str) -> None:
        """Note the id that Amplitude gave to the download that is being sent."""
        with self.writing() as connection:
            connection.execute(
                "update raw.cohort_requests set state = 'requested', request_id = ?"
                " where request_id = ?",
                [request_id, _pending_id(cohort_id)],
            )

    def not_taken(self, cohort_id: str) -> None:
        """Amplitude certainly did not take the download that was being sent: it is not spent."""
        with self.writing() as connection:
            connection.execute(
                "delete from raw.cohort_requests where request_id = ?", [_pending_id(cohort_id)]
            )

    def lost(self, cohort_id: str) -> None:
        """Whether Amplitude took the download that was being sent is not known: it is spent."""
        with self.writing() as connection:
            connection.execute(
                "update raw.cohort_requests"
                " set state = 'lost', reason = 'no answer', request_id = 'lost:' || uuid()"
                " where request_id = ?",
                [_pending_id(cohort_id)],
            )

    def became(
        self,
        request_id: str,
        state: str,
        *,
        reason: str | None = None,
        source_file: str | None = None,
    ) -> None:
        """Note a new state; without a `source_file` the one that is known stays."""
        with self.writing() as connection:
            self.became_within(connection, request_id, state, reason, source_file)

    @staticmethod
    def became_within(
        connection: DuckDBPyConnection,
        request_id: str,
        state: str,
        reason: str | None = None,
        source_file: str | None = None,
    ) -> None:
        """The same, within a transaction that the caller holds."""
        connection.execute(
            "update raw.cohort_requests"
            " set state = ?, reason = ?, source_file = coalesce(?, source_file)"
            " where request_id = ?",
            [state, reason, source_file, request_id],
        )

    def newest(self, cohort_id: str, *states: str) -> CohortRequest | None:
        """The last request of a cohort that is in one of these states."""
        with self.lock:
            found = self.connection.execute(
                "select request_id, last_computed, state, source_file, reason"
                " from raw.cohort_requests where cohort_id = ? and state in ?"
                " order by requested_at desc, last_computed desc, request_id limit 1",
                [cohort_id, list(states)],
            ).fetchone()
        if found is None:
            return None
        request_id, computed, state, source_file, reason = found
        return CohortRequest(
            request_id, cohort_id, computed.replace(tzinfo=UTC), state, source_file, reason
        )

    def last_loaded_at(self, cohort_id: str) -> datetime | None:
        """When the download was asked for that was loaded last."""
        with self.lock:
            ((at,),) = self.connection.execute(
                "select max(requested_at) from raw.cohort_requests"
                " where cohort_id = ? and state = 'loaded'",
                [cohort_id],
            ).fetchall()
        return None if at is None else at.replace(tzinfo=UTC)

    def retry_at(self, cohort_id: str) -> tuple[int, datetime]:
        """How many downloads failed since one was loaded, and when the next may be asked for.

        After the first that is at once, then an hour later, two, four, at most a day: a cohort that
        Amplitude cannot make must not use up the month.
        """
        with self.lock:
            ((count, last),) = self.connection.execute(
                "select count(*), max(requested_at) from raw.cohort_requests"
                " where cohort_id = $cohort_id and state in ('failed', 'expired', 'lost')"
                " and requested_at >= coalesce(("
                "   select max(requested_at) from raw.cohort_requests"
                "   where cohort_id = $cohort_id and state = 'loaded'"
                " ), '-infinity')",
                {"cohort_id": cohort_id},
            ).fetchall()
        if count < _FREE_RETRIES + 1:
            return count, self.now
        hours = min(2 ** (count - _FREE_RETRIES - 1), 24)
        return count, last.replace(tzinfo=UTC) + timedelta(hours=hours)

    def is_sending(self, cohort_id: str) -> bool:
        """Whether a run was killed between asking for a download and noting its id."""
        return self.newest(cohort_id, "sending") is not None

    def knows(self, request_id: str) -> bool:
        """Whether a request is in the ledger."""
        with self.lock:
            ((count,),) = self.connection.execute(
                "select count(*) from raw.cohort_requests where request_id = ?", [request_id]
            ).fetchall()
        return bool(count)

    def last_requested_at(self) -> datetime | None:
        """When a download of any cohort was last asked for."""
        with self.lock:
            ((at,),) = self.connection.execute(
                "select max(requested_at) from raw.cohort_requests"
            ).fetchall()
        return None if at is None else at.replace(tzinfo=UTC)


def _pending_id(cohort_id: str) -> str:
    """Stands for the id until Amplitude gave one; a cohort has one such request at most."""
    return f"sending:{cohort_id}"


def _naive(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(tzinfo=None)
