"""The calendar of Amplitude's export in `raw.loaded_windows`: what is loaded, and what is to do."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from duckdb import DuckDBPyConnection

from relay.load.landing import Landed
from relay.load.result import Window
from relay.load.windows import HOUR, Span, between, hour_of, is_final, newest_safe


@dataclass(frozen=True)
class Calendar:
    """The hours of one project.

    Attributes:
        connection: Open warehouse with the raw tables.
        project: As configured or named on the command line.
        now: The clock of this run.
        lookback: How long after an hour became safe a late event may still come.
    """

    connection: DuckDBPyConnection
    project: str
    now: datetime
    lookback: timedelta

    def start(self, backfill_days: int) -> datetime:
        """The first hour to care for; the earliest that was ever asked for holds.

        Args:
            backfill_days: How far back the first load goes; 0: from now on.
        """
        wanted = hour_of(self.now - timedelta(days=backfill_days))
        found = self.connection.execute(
            "select starts_at from raw.event_load_starts where project = ?", [self.project]
        ).fetchone()
        return min(wanted, _aware(found[0])) if found else wanted

    def keep_start(self, start: datetime) -> None:
        """Remember where the continuous load begins; the caller holds a transaction."""
        key = {"project": self.project}
        self.connection.execute("delete from raw.event_load_starts where project = $project", key)
        self.connection.execute(
            "insert into raw.event_load_starts values ($project, $start)",
            key | {"start": _naive(start)},
        )

    def due(self, start: datetime) -> list[datetime]:
        """The safe hours since `start` that are not read for good, oldest first."""
        settled = {
            _aware(hour)
            for (hour,) in self.connection.execute(
                "select hour from raw.loaded_windows"
                " where project = ? and is_final and state in ('loaded', 'empty')",
                [self.project],
            ).fetchall()
        }
        return [hour for hour in between(start, newest_safe(self.now)) if hour not in settled]

    def not_safe(self, start: datetime, end: datetime) -> list[datetime]:
        """The hours from `start` to `end` that must wait, oldest first."""
        return between(max(hour_of(start), newest_safe(self.now) + HOUR), end)

    def mark_pending(self, hours: Iterable[datetime]) -> None:
        """Note hours that are to be loaded; what is known of an hour stays."""
        self.connection.execute(
            "insert into raw.loaded_windows (project, hour, state, loaded_at)"
            " select $project, hour, 'pending', $now"
            " from (select unnest(cast($hours as timestamp[])) as hour)"
            " anti join (from raw.loaded_windows where project = $project) using (hour)"
            " order by hour",
            self._own(hours),
        )

    def has_unread(self, span: Span) -> bool:
        """Whether some hour of the span was never read."""
        ((read,),) = self.connection.execute(
            "select count(*) from raw.loaded_windows where project = $project"
            " and hour in cast($hours as timestamp[]) and state in ('loaded', 'empty')",
            {"project": self.project, "hours": _list(_naive(hour) for hour in span.hours)},
        ).fetchall()
        return bool(read < len(span.hours))

    def mark_read(
        self,
        read: Mapping[Span, datetime],
        counts: Mapping[datetime, int],
        *,
        landed: Landed | None = None,
        load_id: int | None = None,
        is_new: bool = False,
    ) -> None:
        """Note what the bytes of spans brought; the caller holds the transaction that stores it.

        An hour that was read before keeps what is known of it, but may be final now, unless there
        is something new and the bytes have lines of the hour.

        Args:
            read: The spans that were asked for, and when each was.
            counts: Lines per hour; an hour that is missing had none.
            landed: The bytes; None where Amplitude said that there is no data.
            load_id: The load that read them.
            is_new: Whether it stored anything.
        """
        read_at = {hour: moment for span, moment in read.items() for hour in span.hours}
        own = self._own(read_at) | {
            "counts": _list(counts.get(hour, 0) for hour in read_at),
            "finals": _list(is_final(*one, self.lookback) for one in read_at.items()),
            "source_file": landed.source_file if landed else None,
            "sha256": landed.sha256 if landed else None,
            "load_id": load_id,
        }
        self._execute(_MARK_FINAL, own)
        self._execute(_FORGET_UNREAD, own)
        if is_new:
            found = _list(_naive(hour) for hour in read_at if counts.get(hour))
            self._execute(_FORGET, own | {"hours": found})
        self._execute(_MARK_READ, own)

    def mark_failed(self, span: Span, reason: str, landed: Landed | None) -> None:
        """Note that the bytes of some hours were refused; hours loaded before stay loaded."""
        own = self._own(span.hours) | {
            "reason": reason,
            "source_file": landed.source_file if landed else None,
            "sha256": landed.sha256 if landed else None,
        }
        self._execute(_FORGET_UNREAD, own)
        self._execute(_MARK_FAILED, own)

    def windows(self, hours: Iterable[datetime]) -> tuple[Window, ...]:
        """These hours as they stand now, oldest first."""
        known = {
            _aware(hour): (state, reason)
            for hour, state, reason in self.connection.execute(
                "select hour, state, reason from raw.loaded_windows where project = ?",
                [self.project],
            ).fetchall()
        }
        return tuple(
            Window(hour, *known.get(hour, ("pending", None))) for hour in sorted(set(hours))
        )

    def _own(self, hours: Iterable[datetime]) -> dict[str, Any]:
        return {
            "project": self.project,
            "now": _naive(self.now),
            "hours": _list(_naive(hour) for hour in hours),
        }

    def _execute(self, sql: str, values: Mapping[str, Any]) -> None:
        """Run a statement with those of the values that it names."""
        named = {name: value for name, value in values.items() if f"${name}" in sql}
        self.connection.execute(sql, named)


_FORGET = """
    delete from raw.loaded_windows
    where project = $project and hour in cast($hours as timestamp[])
"""
_FORGET_UNREAD = f"{_FORGET} and state not in ('loaded', 'empty')"
_INCOMING = """
    select
        unnest(cast($hours as timestamp[])) as hour,
        unnest(cast($counts as bigint[])) as row_count,
        unnest(cast($finals as boolean[])) as is_final
"""
_MARK_FINAL = f"""
    update raw.loaded_windows
    set is_final = true
    where project = $project
        and not is_final
        and state in ('loaded', 'empty')
        and hour in (select hour from ({_INCOMING}) where is_final)
"""
_MARK_READ = f"""
    insert into raw.loaded_windows
        (project, hour, state, row_count, is_final, source_file, sha256, load_id, loaded_at)
    select
        $project,
        hour,
        if(row_count > 0, 'loaded', 'empty'),
        row_count,
        is_final,
        $source_file,
        $sha256,
        $load_id,
        $now
    from ({_INCOMING})
    anti join (from raw.loaded_windows where project = $project) using (hour)
    order by hour
"""
_MARK_FAILED = """
    insert into raw.loaded_windows (project, hour, state, reason, source_file, sha256, loaded_at)
    select $project, hour, 'failed', $reason, $source_file, $sha256, $now
    from (select unnest(cast($hours as timestamp[])) as hour)
    anti join (from raw.loaded_windows where project = $project) using (hour)
    order by hour
"""


def _list(values: Iterable[object]) -> str:
    """The values as the text of a DuckDB list.

    For each value it is given by itself, DuckDB looks for pandas along all of the path, twice.
    """
    return f"[{', '.join(str(value) for value in values)}]"


def _naive(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(tzinfo=None)


def _aware(moment: datetime) -> datetime:
    return moment.replace(tzinfo=UTC)
