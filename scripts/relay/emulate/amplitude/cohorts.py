"""Amplitude's Behavioral Cohorts API: the list, and the three steps of a download."""

import asyncio
import csv
import gzip
import io
import json
import secrets
from collections import Counter, deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from threading import RLock
from typing import Any

from relay.emulate.amplitude.switches import AmplitudeSwitches
from relay.emulate.clock import Clock
from relay.emulate.exchange import Answer, Call, Refuse
from relay.emulate.files import Files

JSON_UTF8 = "application/json; charset=UTF-8"
CSV = "text/csv"
IN_PROGRESS = "JOB INPROGRESS"
COMPLETED = "JOB COMPLETED"
JOB_MEMORY_SECONDS = 60.0
DAY_SECONDS = 86_400.0

Member = tuple[int | str, str | None] | tuple[int | str, str | None, Mapping[str, Any] | None]


@dataclass(frozen=True, slots=True)
class Cohort:
    """One cohort as it was computed last; a later computation is another object.

    Attributes:
        last_computed: None while it was never computed; `size` is then null as well.
        size: What the list declares.
        members: Amplitude id, user id or None, properties.
        file: A ready file instead of `members`.
    """

    cohort_id: str
    name: str
    app_id: str
    last_computed: datetime | None
    size: int | None
    members: Sequence[Member]
    file: bytes | Path | None
    listed: Mapping[str, Any]

    def document(self) -> dict[str, Any]:
        """The cohort as the list shows it, with the keys of the recorded answer."""
        computed = None if self.last_computed is None else int(self.last_computed.timestamp())
        return {
            "appId": int(self.app_id) if self.app_id.isdigit() else self.app_id,
            "archived": False,
            "definition": {
                "version": 3,
                "countGroup": {"name": "User", "is_computed": False},
                "cohortType": "UNIQUES",
                "andClauses": [],
                "referenceFrameTimeParams": {},
            },
            "description": None,
            "finished": computed is not None,
            "id": self.cohort_id,
            "name": self.name,
            "published": True,
            "type": "redshift",
            "lastMod": 1_781_554_538,
            "createdAt": 1_781_554_538,
            "lastComputed": computed,
            "hidden": False,
            "metadata": None,
            "view_count": None,
            "popularity": None,
            "last_viewed": None,
            "chart_id": None,
            "edit_id": None,
            "is_predictive": False,
            "is_official_content": False,
            "location_id": None,
            "shortcut_ids": [],
            "per_app_metadata": None,
            "cohort_definition_type": None,
            "cohort_output_type": "UNIQUES",
            "is_generated_content": False,
            "owners": ["amp"],
            "viewers": [],
            "size": self.size,
        } | dict(self.listed)


@dataclass(slots=True)
class Job:
    """One download request and how far it is."""

    request_id: str
    cohort: Cohort
    project: str
    with_properties: bool
    property_keys: tuple[str, ...]
    started: float
    polls_left: int
    finished: float | None = None
    content: bytes | None = field(default=None, repr=False)


class Cohorts:
    """The cohorts of all projects, the jobs that download them, and the limits on these."""

    def __init__(
        self, clock: Clock, lock: RLock, switches: AmplitudeSwitches, files: Files
    ) -> None:
        self._clock = clock
        self._lock = lock
        self._switches = switches
        self._files = files
        self.cohorts: dict[str, Cohort] = {}
        self.jobs: dict[str, Job] = {}
        self.requests_by_month: Counter[str] = Counter()
        self._recent: dict[str, deque[float]] = {}

    def put(
        self,
        cohort_id: str,
        name: str,
        *,
        app_id: str,
        last_computed: datetime | None,
        members: Iterable[Member] = (),
        file: bytes | Path | None = None,
        size: int | None = None,
        **listed: Any,
    ) -> Cohort:
        """Set a cohort to what its newest computation found; jobs under way keep what they had.

        Args:
            cohort_id: The id in paths and in the list.
            name: Its name.
            app_id: The project it belongs to.
            last_computed: With a time zone; None for a cohort that was never computed.
            members: Amplitude id, user id (None or "" when anonymous) and, if any, properties.
            file: The exact bytes to answer with, instead of a file made of `members`.
            size: The declared size, where it is to differ from the number of members.
            listed: Further keys of the list's entry, such as `archived=True`.
        """
        known = list(members)
        declared = size if size is not None or last_computed is None else len(known)
        cohort = Cohort(cohort_id, name, app_id, last_computed, declared, known, file, listed)
        with self._lock:
            self.cohorts[cohort_id] = cohort
        return cohort

    def remove(self, cohort_id: str) -> None:
        """Delete a cohort; asking for it is then answered 404."""
        with self._lock:
            del self.cohorts[cohort_id]

    def list(self, call: Call, project: str) -> Answer:
        """`GET /api/3/cohorts`: the published cohorts of the project, archived ones among them."""
        listed = [
            cohort.document()
            for cohort in self.cohorts.values()
            if cohort.app_id == project and cohort.listed.get("published", True)
        ]
        if call.parameter("includeSyncInfo") == "true":
            listed = [{"syncMetadata": []} | document for document in listed]
        else:
            for document in listed:
                document.pop("syncMetadata", None)
        return Answer.of({"cohorts": listed}, content_type=JSON_UTF8)

    def request(self, call: Call, project: str, refuse: Refuse) -> Answer:
        """`GET /api/5/cohorts/request/{cohort_id}`: start a job, within the limits."""
        cohort = self.cohorts.get(call.parameters["cohort_id"])
        if cohort is None or cohort.app_id != project:
            return refuse(404, "Cohort not found.")
        limit = self._limit(project)
        if limit is not None:
            return refuse(429, limit)
        now = self._clock.elapsed()
        self.requests_by_month[f"{project} {self._clock.now():%Y-%m}"] += 1
        self._recent.setdefault(project, deque()).append(now)
        job = Job(
            request_id=secrets.token_urlsafe(6).replace("-", "a").replace("_", "b"),
            cohort=cohort,
            project=project,
            with_properties=call.parameter("props") == "1",
            property_keys=tuple(call.query.get("propKeys", ())),
            started=now,
            polls_left=self._switches.cohort_polls,
        )
        self.jobs[job.request_id] = job
        document = {"request_id": job.request_id, "cohort_id": cohort.cohort_id}
        return Answer.of(document, 202, content_type=JSON_UTF8)

    def status(self, call: Call, project: str, refuse: Refuse) -> Answer:
        """`GET /api/5/cohorts/request-status/{request_id}`: 202 a few times, then 200."""
        job = self._job(call, project)
        if job is None:
            return refuse(404, "Request not found.")
        done = job.polls_left == 0
        if done and job.finished is None:
            job.finished = self._clock.elapsed()
        job.polls_left = max(job.polls_left - 1, 0)
        document = {
            "request_id": job.request_id,
            "cohort_id": job.cohort.cohort_id,
            "async_status": COMPLETED if done else IN_PROGRESS,
        }
        return Answer.of(document, 200 if done else 202, content_type=JSON_UTF8)

    async def file(self, call: Call, project: str, refuse: Refuse) -> Answer:
        """`GET /api/5/cohorts/request/{request_id}/file`: the file, or a redirect to it.

        Before the job is complete, and after `cohort_file_days`, the answer is UNVERIFIED: 404.
        """
        with self._lock:
            job = self._job(call, project)
        if job is None or job.finished is None:
            return refuse(404, "File not found.")
        if self._clock.elapsed() - job.finished > self._switches.cohort_file_days * DAY_SECONDS:
            return refuse(404, "File not found.")
        if job.content is None:
            job.content = await asyncio.to_thread(self._content, job)
        if len(job.content) <= self._switches.cohort_inline_bytes:
            return Answer(200, job.content, CSV)
        content = job.content
        address = self._files.to_read(
            "cohorts",
            lambda: content,
            seconds=self._switches.cohort_link_seconds,
            content_type=CSV,
        )
        return Answer(302, b"", "text/html", (("Location", address),))

    def _job(self, call: Call, project: str) -> Job | None:
        job = self.jobs.get(call.parameters["request_id"])
        return job if job is not None and job.project == project else None

    def _limit(self, project: str) -> str | None:
        """Which limit another job would break."""
        now = self._clock.elapsed()
        switches = self._switches
        if (
            self.requests_by_month[f"{project} {self._clock.now():%Y-%m}"]
            >= switches.cohort_requests_a_month
        ):
            return f"Exceeded {switches.cohort_requests_a_month} cohort downloads per month"
        recent = self._recent.setdefault(project, deque())
        while recent and now - recent[0] >= switches.cohort_window_seconds:
            recent.popleft()
        if len(recent) >= switches.cohort_requests_in_window:
            return f"Exceeded {switches.cohort_requests_in_window} requests per 10 minutes"
        running = sum(
            job.finished is None and now - job.started < JOB_MEMORY_SECONDS
            for job in self.jobs.values()
            if job.project == project
        )
        if running >= switches.cohort_jobs_at_once:
            return f"Exceeded {switches.cohort_jobs_at_once} parallel requests per minute"
        return None

    def _content(self, job: Job) -> bytes:
        ready = job.cohort.file
        if ready is None:
            body = render(job.cohort.members, columns(job), self._switches)
        else:
            body = ready.read_bytes() if isinstance(ready, Path) else ready
        return gzip.compress(body, 1, mtime=0) if self._switches.cohort_gzip_body else body


def columns(job: Job) -> list[str]:
    """The property columns of a job's file.

    Which built-in columns `props=1` brings, and in which order, is UNVERIFIED: here every property
    that a member has, by name, or of those the ones that were asked for.
    """
    if not job.with_properties:
        return []
    if job.property_keys:
        return list(dict.fromkeys(job.property_keys))
    found = {name for member in job.cohort.members if len(member) == 3 for name in member[2] or ()}
    return sorted(found)


def render(members: Iterable[Member], names: Sequence[str], switches: AmplitudeSwitches) -> bytes:
    """The CSV of a cohort: a header, every field quoted, an empty user id for the anonymous."""
    tab = "\t" if switches.cohort_tab_prefix else ""
    header = ["amplitude_id", "user_id"]
    if switches.cohort_repeated_header:
        header.append("amplitude_id")
    text = io.StringIO()
    writer = csv.writer(text, quoting=csv.QUOTE_ALL, lineterminator="\n")
    writer.writerow([tab + name for name in (*header, *names)])
    for member in members:
        row = [str(member[0]), member[1] or ""]
        if switches.cohort_repeated_header:
            row.append(str(member[0]))
        if names:
            properties = (member[2] if len(member) == 3 else None) or {}
            row.extend(_cell(properties.get(name)) for name in names)
        writer.writerow([tab + cell for cell in row] if tab else row)
    return text.getvalue().encode()


def _cell(value: Any) -> str:
    """A property as text; the form of lists is UNVERIFIED: JSON."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
