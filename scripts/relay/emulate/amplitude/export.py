"""Amplitude's Export API: `GET /api/2/export?start=YYYYMMDDTHH&end=YYYYMMDDTHH`."""

import asyncio
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import RLock
from typing import Any

from relay.emulate.amplitude.archive import Hour, write_archive
from relay.emulate.amplitude.rows import as_line, completed, hour_of_line, hour_of_name
from relay.emulate.amplitude.switches import AmplitudeSwitches
from relay.emulate.clock import Clock
from relay.emulate.exchange import Answer, Call, Refuse

ZIP = "application/zip"
LONGEST = timedelta(days=365)
_HOUR = re.compile(r"\d{8}T\d{2}")

Events = Iterable[Mapping[str, Any]] | Iterable[bytes | str] | Mapping[Any, Iterable[bytes | str]]


class EventStore:
    """The raw events of all projects, by the hour of their `server_upload_time`."""

    def __init__(self) -> None:
        self.projects: dict[str, dict[datetime, Hour]] = {}
        self._unread: list[bytes | Path] = []

    def add(self, project: str, events: Events) -> int:
        """Add events in the order they arrived; how many.

        Args:
            project: Amplitude's project id.
            events: Dictionaries (`rows.completed` fills in what they lack), lines of JSON as they
                are to be exported, or such lines by hour.

        Raises:
            ValueError: An event has no time to file it under.
        """
        if isinstance(events, Mapping):
            return sum(
                self._add_lines(project, hour_of_name(hour), lines)
                for hour, lines in events.items()
            )
        count = 0
        for event in events:
            if isinstance(event, Mapping):
                line = as_line(completed(event, project))
            else:
                line = _whole(event)
            self.hour(project, hour_of_line(line)).lines.append(line)
            self._unread.append(line)
            count += 1
        return count

    def add_member(self, project: str, moment: datetime, member: bytes | Path) -> None:
        """Add a ready gzip member to an hour."""
        self.hour(project, moment).ready.append(member)
        self._unread.append(member)

    def unread(self) -> list[bytes | Path]:
        """What was added since this was asked last: lines and gzip members."""
        unread, self._unread = self._unread, []
        return unread

    def hour(self, project: str, moment: datetime) -> Hour:
        """The events of one hour; empty and remembered when there were none."""
        return self.projects.setdefault(project, {}).setdefault(moment, Hour())

    def window(self, project: str, start: datetime, end: datetime) -> list[tuple[datetime, Hour]]:
        """The hours that hold anything, both ends included, oldest first."""
        hours = self.projects.get(project, {})
        return [
            (moment, hours[moment])
            for moment in sorted(hours)
            if start <= moment <= end and (hours[moment].lines or hours[moment].ready)
        ]

    def _add_lines(self, project: str, moment: datetime, lines: Iterable[bytes | str]) -> int:
        hour = self.hour(project, moment)
        added = [_whole(line) for line in lines]
        hour.lines.extend(added)
        self._unread.extend(added)
        return len(added)


class Export:
    """The answers of the Export API."""

    def __init__(
        self, store: EventStore, clock: Clock, lock: RLock, switches: AmplitudeSwitches
    ) -> None:
        self._store = store
        self._clock = clock
        self._lock = lock
        self._switches = switches

    async def answer(self, call: Call, project: str, refuse: Refuse) -> Answer:
        """The archive of the hours asked for, those that are complete for long enough.

        Malformed hours, a span over 365 days and a result that is too large are 400; what 400 looks
        like is UNVERIFIED, so it has the envelope of the recorded 404.
        """
        window = _window(call)
        if isinstance(window, str):
            return refuse(400, window)
        start, end = window
        safe = timedelta(hours=self._switches.export_delay_hours)
        newest = self._clock.now() - safe
        with self._lock:
            hours = [
                (moment, Hour(list(hour.lines), list(hour.ready), hour._zipped))
                for moment, hour in self._store.window(project, start, end)
                if moment <= newest
            ]
        if not hours:
            return refuse(404, "Raw data files were not found.")
        limit = self._switches.export_timeout_lines
        if limit is not None and sum(len(hour.lines) for _, hour in hours) > limit:
            return refuse(504, "Request timed out.")
        path = await asyncio.to_thread(
            write_archive,
            project,
            hours,
            made_at=self._clock.now(),
            shape=self._switches.archive,
        )
        if path.stat().st_size > self._switches.export_max_bytes:
            path.unlink()
            return refuse(400, "The requested data is too large.")
        return Answer(200, content_type=ZIP, file=path)


def _window(call: Call) -> tuple[datetime, datetime] | str:
    """The first and last hour asked for, or what is wrong with them."""
    hours = []
    for name in ("start", "end"):
        text = call.parameter(name)
        if text is None:
            return f"Missing required parameter: {name}"
        if not _HOUR.fullmatch(text):
            return f"Invalid {name}: {text}"
        try:
            hours.append(datetime.strptime(text, "%Y%m%dT%H").replace(tzinfo=UTC))
        except ValueError:
            return f"Invalid {name}: {text}"
    if hours[0] > hours[1]:
        return "start is after end"
    if hours[1] - hours[0] >= LONGEST:
        return "The range is longer than 365 days"
    return hours[0], hours[1]


def _whole(line: bytes | str) -> bytes:
    data = line.encode() if isinstance(line, str) else line
    return data if data.endswith(b"\n") else data + b"\n"
