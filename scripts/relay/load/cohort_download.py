"""One cohort download: request, poll, file. Runs in a thread; whatever it learns is durable first.

Source: Amplitude, Behavioral Cohorts API: get one cohort. What a failed job looks like is nowhere
documented (UNVERIFIED): a status other than 200 and 202 is an error, and so is a text that is
neither of the two documented ones.
"""

import json
import re
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

import httpx
import structlog

from relay import http
from relay.errors import VendorError
from relay.load import landing
from relay.load.amplitude_api import AmplitudeApi, UnreachableError
from relay.load.cohort_requests import RequestLedger
from relay.load.cohort_snapshots import SOURCE
from relay.load.landing import Landed
from relay.load.progress import NoProgress, Progress
from relay.settings import Settings

log = structlog.get_logger(__name__)

IN_PROGRESS = "JOB INPROGRESS"
COMPLETED = "JOB COMPLETED"
# Seconds between two polls, the last one over and over; and how long a job is waited for.
POLL_SECONDS = (1.0, 2.0, 3.0, 5.0)
LONGEST_POLLING_SECONDS = 45 * 60
LOOPBACK_POLL_SECONDS = (0.02, 0.05)
MOST_REQUESTS, REQUESTS_WITHIN_SECONDS = 60, 600.0
_ID = re.compile(r"[A-Za-z0-9_-]{1,100}")
_REQUEST_FILE = re.compile(r"(\d{8}T\d{6}Z)\.request-([A-Za-z0-9_-]+)\.json")


class CohortFailedError(VendorError):
    """A download came to an end without a file; `state` is what its request is now."""

    def __init__(self, message: str, state: str) -> None:
        self.state = state
        super().__init__(message)


@dataclass
class Downloader:
    """Downloads cohorts; used by several threads.

    Attributes:
        settings: Whose landing/.
        api: Asks Amplitude.
        ledger: Where requests are noted.
        pause: Seconds between polls.
        progress: Told of the bytes that come.
    """

    settings: Settings
    api: AmplitudeApi
    ledger: RequestLedger
    pause: Sequence[float] = POLL_SECONDS
    progress: Progress = field(default_factory=NoProgress)
    _pace: threading.Lock = field(default_factory=threading.Lock)
    _asked_at: deque[float] = field(default_factory=deque)

    def request(self, cohort_id: str, computed_at: datetime, properties: Sequence[str]) -> str:
        """Ask for a download, which is spent with that; its id, once that is durable.

        Args:
            cohort_id: Amplitude's id.
            computed_at: `lastComputed` as listed.
            properties: Names of the properties to have beside the ids.

        Raises:
            VendorError: Amplitude refused, or gave no id.
            UnreachableError: No answer; see `RequestLedger.lost`.
        """
        if not _ID.fullmatch(cohort_id):
            raise VendorError(f"{cohort_id!r} is no id of a cohort that an address can hold")
        params = [("props", "1"), *(("propKeys", name) for name in properties)]
        self._wait_for_turn()
        self.ledger.sending(cohort_id, computed_at)
        try:
            _, document = self.api.document(
                f"/api/5/cohorts/request/{cohort_id}",
                params=params if properties else {"props": "0"},
                expected=(200, 202),
                is_repeatable=False,
            )
            request_id = str(document["request_id"])
        except UnreachableError as error:
            self.ledger.lost(cohort_id) if error.is_taken else self.ledger.not_taken(cohort_id)
            raise
        except http.StatusError as error:
            self.ledger.not_taken(cohort_id)
            raise VendorError(f"Amplitude refused the download: {error}") from None
        except (VendorError, KeyError, TypeError):
            self.ledger.lost(cohort_id)
            raise VendorError("Amplitude took the request but gave no request_id") from None
        except BaseException:
            self.ledger.not_taken(cohort_id)
            raise
        if not _ID.fullmatch(request_id):
            self.ledger.lost(cohort_id)
            raise VendorError("Amplitude gave a request_id that an address cannot hold")
        # The file comes first: it is there even when the warehouse is lost.
        landing.land(
            self.settings.home,
            f"{_folder(cohort_id)}/{_stamp(computed_at)}.request-{request_id}.json",
            [json.dumps(document, sort_keys=True).encode() + b"\n"],
        )
        self.ledger.requested(cohort_id, request_id)
        log.info("cohort.requested", cohort=cohort_id, properties=len(properties))
        return request_id

    def find_request(self, cohort_id: str) -> tuple[str, datetime] | None:
        """The id and `lastComputed` of a request that landed, but did not get into the ledger."""
        folder = self.settings.home.landing / _folder(cohort_id)
        for path in sorted(folder.glob("*.request-*.json"), reverse=True):
            named = _REQUEST_FILE.fullmatch(path.name)
            if named and not self.ledger.knows(named[2]):
                at = datetime.strptime(named[1], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
                return named[2], at
        return None

    def wait_until_complete(self, request_id: str) -> None:
        """Poll until the file is ready.

        Raises:
            CohortFailedError: The job failed, is not known any more, or takes too long; in the
                last case the next run goes on polling.
        """
        path = f"/api/5/cohorts/request-status/{request_id}"
        waited = 0.0
        for turn in range(1_000_000):
            try:
                status, document = self.api.document(path, expected=(200, 202))
            except http.StatusError as error:
                raise _over(error) from None
            except UnreachableError as error:
                # An answer is an error of the job; no answer leaves the job as it is.
                state = "failed" if (error.status or 0) >= 500 else "requested"
                raise CohortFailedError(str(error), state) from None
            words = document.get("async_status") if isinstance(document, dict) else None
            if status == 200 and words == COMPLETED:
                return
            if status != 202 or words != IN_PROGRESS:
                text = http.short_text(str(words))
                raise CohortFailedError(f"the job ended with HTTP {status}, {text!r}", "failed")
            seconds = self.pause[min(turn, len(self.pause) - 1)]
            waited += seconds
            if waited > LONGEST_POLLING_SECONDS:
                break
            if self.api.stop.wait(seconds):
                raise http.StoppedError
        raise CohortFailedError(
            f"Amplitude is still computing after {LONGEST_POLLING_SECONDS // 60} minutes; "
            "run the command again, it goes on with the same request",
            "requested",
        )

    def fetch(self, cohort_id: str, computed_at: datetime, request_id: str) -> Landed:
        """Download the file of a finished request; doing so again costs nothing.

        Raises:
            CohortFailedError: Amplitude has the file no more.
            UnreachableError: It could not be had; the next run tries again.
        """
        name = f"{_folder(cohort_id)}/{_stamp(computed_at)}-{request_id}"
        home = self.settings.home
        number = 1
        while (home.landing / f"{name}{_suffix(number)}.csv").exists():
            number += 1

        def land(response: httpx.Response) -> Landed:
            return landing.land(home, f"{name}{_suffix(number)}.csv", self._counted(response))

        try:
            landed = self.api.call(f"/api/5/cohorts/request/{request_id}/file", land)
        except http.StatusError as error:
            raise _over(error) from None
        log.info("cohort.landed", cohort=cohort_id, bytes=landed.size)
        return landed

    def _counted(self, response: httpx.Response) -> Iterator[bytes]:
        for piece in self.api.pieces(response):
            self.progress.received(len(piece))
            yield piece

    def _wait_for_turn(self) -> None:
        """Keep to 60 requests in 10 minutes."""
        while True:
            with self._pace:
                now = time.monotonic()
                while self._asked_at and now - self._asked_at[0] >= REQUESTS_WITHIN_SECONDS:
                    self._asked_at.popleft()
                if len(self._asked_at) < MOST_REQUESTS:
                    self._asked_at.append(now)
                    return
                wait = REQUESTS_WITHIN_SECONDS - (now - self._asked_at[0])
            if self.api.stop.wait(wait):
                raise http.StoppedError


def poll_pause(settings: Settings) -> Sequence[float]:
    """Seconds between polls; an emulator on loopback need not be spared."""
    is_loopback = http.is_loopback(httpx.URL(settings.env.amplitude_host()))
    return LOOPBACK_POLL_SECONDS if is_loopback else POLL_SECONDS


def _over(error: http.StatusError) -> CohortFailedError:
    state = "expired" if error.status in {404, 410} else "failed"
    return CohortFailedError(
        f"Amplitude has no such download any more ({error}); the next run asks for a new one"
        if state == "expired"
        else f"Amplitude could not make the file ({error})",
        state,
    )


def _folder(cohort_id: str) -> str:
    return f"{SOURCE}/{cohort_id}"


def _stamp(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y%m%dT%H%M%SZ}"


def _suffix(number: int) -> str:
    return f"-{number}" if number > 1 else ""
