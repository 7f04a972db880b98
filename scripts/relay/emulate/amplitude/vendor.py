"""Amplitude as one vendor: two origins, projects and their keys, and what callers put in."""

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from relay.emulate.amplitude.cohorts import Cohort, Cohorts, Member
from relay.emulate.amplitude.export import Events, EventStore, Export
from relay.emulate.amplitude.identify import Identify, plain
from relay.emulate.amplitude.ingest import Ingestion, refusal, too_fast
from relay.emulate.amplitude.organisation import Merge, Organisation, write_merge_files
from relay.emulate.amplitude.rows import hour_of_name
from relay.emulate.amplitude.switches import AmplitudeSwitches
from relay.emulate.clock import Clock
from relay.emulate.exchange import Answer, Call, Handler, Route
from relay.emulate.files import Files
from relay.emulate.vendor import Vendor

REST = "rest"
# The keys of an ingested event that `/_state` shows.
SHOWN = (
    "app",
    "$insert_id",
    "amplitude_id",
    "user_id",
    "device_id",
    "event_type",
    "event_time",
    "event_properties",
    "user_properties",
    "uuid",
)
ORGANISATION = "100042"
MESSAGES = {
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    413: "Payload too large",
    429: "Too many requests",
    503: "Service Unavailable",
}
JSON_UTF8 = "application/json; charset=utf-8"


class Amplitude(Vendor):
    """The emulated Amplitude organisation.

    Args:
        clock: The time it goes by.
        files: The bucket its redirects lead to.
        project: Id of its first project.
        api_key, secret_key: The keys of that project.
        switches: Limits and behaviours.
    """

    name = "amplitude"

    def __init__(
        self,
        clock: Clock,
        files: Files,
        *,
        project: str,
        api_key: str,
        secret_key: str,
        switches: AmplitudeSwitches | None = None,
    ) -> None:
        super().__init__(clock)
        self.switches = switches or AmplitudeSwitches()
        self.project = project
        self._keys: dict[str, tuple[str, str]] = {}
        self.add_project(project, api_key=api_key, secret_key=secret_key)
        self.events = EventStore()
        self._export = Export(self.events, clock, self.lock, self.switches)
        self.cohorts = Cohorts(clock, self.lock, self.switches, files)
        self.organisation = Organisation()
        shared = (self.events, self.organisation, clock, self.switches, self._keys)
        self.ingestion = Ingestion(*shared)
        self.identify = Identify(*shared)
        self.offer(
            {
                "amplitude": self._rest_routes(),
                "amplitude_ingest": [
                    Route("http", "POST", "/2/httpapi", self.ingestion.http, partial=True),
                    Route("batch", "POST", "/batch", self.ingestion.batch, partial=True),
                    Route("identify", "POST", "/identify", self.identify.answer),
                    Route("identify_get", "GET", "/identify", self.identify.answer),
                ],
            }
        )

    def add_project(self, project: str, *, api_key: str, secret_key: str) -> None:
        """A further project of the organisation, with its own keys."""
        self._keys[api_key] = (secret_key, str(project))

    def add_events(self, project: str, events: Events) -> int:
        """Put events into a project's export, in the order they arrived; how many.

        Args:
            project: The project's id.
            events: Dictionaries with the keys of an export row (missing ones are filled in, see
                `rows.completed`); or lines of JSON as they are to be exported; or such lines by
                hour, `{"20260301T00": [...]}`. Hours are those of `server_upload_time`, in UTC.

        Raises:
            ValueError: An event has no time to file it under.
        """
        with self.lock:
            return self.events.add(str(project), events)

    def add_export_member(self, project: str, hour: str | datetime, member: bytes | Path) -> None:
        """Put a ready gzip member into the export of one hour; it is answered as it is."""
        with self.lock:
            self.events.add_member(str(project), hour_of_name(hour), member)

    def set_cohort(
        self,
        cohort_id: str,
        name: str,
        app_id: str | int | None = None,
        last_computed: datetime | None = None,
        members: Iterable[Member] = (),
        *,
        file: bytes | Path | None = None,
        size: int | None = None,
        **listed: Any,
    ) -> Cohort:
        """Set a cohort to what its newest computation found; see `Cohorts.put`.

        `app_id` is the first project's where none is given. A download under way still answers with
        the members it began with.

        Raises:
            ValueError: There is no such project.
        """
        project = self.project if app_id is None else str(app_id)
        if project not in {known for _, known in self._keys.values()}:
            raise ValueError(f"no project {project}: add_project it first")
        return self.cohorts.put(
            cohort_id,
            name,
            app_id=project,
            last_computed=last_computed,
            members=members,
            file=file,
            size=size,
            **listed,
        )

    def remove_cohort(self, cohort_id: str) -> None:
        """Delete a cohort."""
        self.cohorts.remove(cohort_id)

    def add_merges(self, merges: Iterable[tuple[int, int, datetime]]) -> None:
        """Merges that happened: (absorbed id, surviving id, when)."""
        with self.lock:
            self.organisation.merges.extend(Merge(*merge) for merge in merges)

    def merges(self) -> list[Merge]:
        """All merges, those that ingested events caused among them."""
        with self.lock:
            return list(self.organisation.merges)

    def write_merge_files(self, folder: Path) -> list[Path]:
        """Write all merges as a bucket destination would, a file an hour; their paths."""
        return write_merge_files(folder, self.merges(), organisation=ORGANISATION)

    def ingested(self) -> list[dict[str, Any]]:
        """The events taken in over HTTP, as rows of the export, in the order they came."""
        with self.lock:
            return self.ingestion.rows()

    def user_properties(self, user_id: str) -> dict[str, Any]:
        """The user properties now stored for a user id in the first project."""
        with self.lock:
            self.organisation.learn(self.events.unread())
            return self.organisation.properties_of(self.project, user_id)

    def silence(self, *device_ids: str) -> None:
        """Refuse events of these devices, as a blocked device's are."""
        with self.lock:
            self.ingestion.silenced_devices.update(device_ids)

    def exceed_daily_quota(self, *ids: str, events: int = 500_001) -> None:
        """Take these device and user ids as over their daily quota; `events=0` ends it."""
        with self.lock:
            for one in ids:
                if events:
                    self.ingestion.over_quota[one] = events
                else:
                    self.ingestion.over_quota.pop(one, None)

    def pools(self) -> Mapping[str, int]:
        """All REST requests share one limit (whether exports count is assumed)."""
        return {REST: self.switches.rest_in_flight}

    def error(self, status: int, call: Call) -> Answer:
        """The envelope of the REST services, or the body of those that take events."""
        if call.path in ("/2/httpapi", "/batch"):
            if status == 429:
                return too_fast(30 if call.path == "/2/httpapi" else 1_000, {}, {}, [])
            return refusal(status, MESSAGES.get(status, "Internal Server Error"))
        if call.path == "/identify":
            return plain(MESSAGES.get(status, "Internal Server Error"), status)
        return self.refuse(status, "Ordered by the test." if status >= 429 else "Not found.")

    def refuse(self, status: int, details: str) -> Answer:
        """The recorded error envelope, with these details."""
        return Answer.of(
            {
                "error": {
                    "http_code": status,
                    "type": "unspecified",
                    "message": "Unspecified Error",
                    "metadata": {"details": details},
                }
            },
            status,
            content_type=JSON_UTF8,
        )

    def remembered(self) -> dict[str, Any]:
        """Counts of events by project and hour, the cohorts, the jobs and the months' downloads."""
        return {
            "projects": {
                project: {
                    f"{moment:%Y-%m-%dT%H}": len(hour.lines)
                    for moment, hour in sorted(hours.items())
                }
                for project, hours in self.events.projects.items()
            },
            "cohorts": [
                {
                    "id": cohort.cohort_id,
                    "name": cohort.name,
                    "size": cohort.size,
                    "members": len(cohort.members),
                    "last_computed": cohort.last_computed and cohort.last_computed.isoformat(),
                }
                for cohort in self.cohorts.cohorts.values()
            ],
            "cohort_jobs": [
                {
                    "request_id": job.request_id,
                    "cohort_id": job.cohort.cohort_id,
                    "complete": job.finished is not None,
                }
                for job in self.cohorts.jobs.values()
            ],
            "cohort_requests": dict(self.cohorts.requests_by_month),
            "ingested": [{name: row[name] for name in SHOWN} for row in self.ingestion.rows()],
            "duplicates": self.ingestion.duplicates,
            "identified": self.ingestion.identifies + self.identify.taken,
            "odd_keys": dict(self.ingestion.odd_keys),
            "merges": [merge.document() for merge in self.organisation.merges],
        }

    def _rest_routes(self) -> list[Route]:
        def limited(handle: Callable[[Call, str], Answer]) -> Handler:
            def checked(call: Call) -> Answer:
                project = self._project(call)
                return project if isinstance(project, Answer) else handle(call, project)

            return checked

        cohorts, refuse = self.cohorts, self.refuse
        jobs = "/api/5/cohorts/request"
        return [
            Route("export", "GET", "/api/2/export", self._exported, REST),
            Route("cohorts", "GET", "/api/3/cohorts", limited(cohorts.list), REST),
            Route(
                "cohort_request",
                "GET",
                f"{jobs}/{{cohort_id}}",
                limited(lambda call, project: cohorts.request(call, project, refuse)),
                REST,
            ),
            Route(
                "cohort_status",
                "GET",
                f"{jobs}-status/{{request_id}}",
                limited(lambda call, project: cohorts.status(call, project, refuse)),
                REST,
            ),
            Route("cohort_file", "GET", f"{jobs}/{{request_id}}/file", self._cohort_file, REST),
        ]

    async def _exported(self, call: Call) -> Answer:
        project = self._project(call)
        if isinstance(project, Answer):
            return project
        return await self._export.answer(call, project, self.refuse)

    async def _cohort_file(self, call: Call) -> Answer:
        project = self._project(call)
        if isinstance(project, Answer):
            return project
        return await self.cohorts.file(call, project, self.refuse)

    def _project(self, call: Call) -> str | Answer:
        """The project of the request's keys, or the answer to wrong keys or too many requests."""
        auth = call.basic_auth
        if auth is None or auth[0] not in self._keys:
            return self.refuse(403, "Invalid API Key")
        secret_key, project = self._keys[auth[0]]
        if auth[1] != secret_key:
            return self.refuse(403, "Invalid API/Secret Key combination")
        if call.crowded:
            limit = self.switches.rest_in_flight
            return self.refuse(429, f"Exceeded {limit} concurrent requests per project")
        return project
