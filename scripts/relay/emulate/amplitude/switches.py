"""What the Amplitude emulator can be told to do otherwise."""

from dataclasses import dataclass, field
from typing import Literal

from relay.emulate.amplitude.archive import Shape


@dataclass(slots=True)
class AmplitudeSwitches:
    """Limits and behaviours of the Amplitude emulator; they may be changed while it runs.

    Where Amplitude's behaviour is documented the default is the documented one. UNVERIFIED marks
    what no source settles; there the default is the harsher reading.

    Attributes:
        export_delay_hours: An hour can be exported this long after its start.
        export_max_bytes: A larger archive is answered 400.
        export_timeout_lines: More lines than this are answered 504; None: never.
        archive: How archives are put together.
        rest_in_flight: Requests in flight per project over all REST endpoints.
        cohort_polls: How often a cohort job answers 202 before it is complete.
        cohort_inline_bytes: A larger file is answered with a redirect (threshold UNVERIFIED).
        cohort_link_seconds: How long the redirect's target can be fetched.
        cohort_file_days: How long `/file` answers; afterwards 404 (UNVERIFIED).
        cohort_requests_a_month: Cohort jobs per project and calendar month (UTC).
        cohort_requests_in_window, cohort_window_seconds: Jobs per project in any such window.
        cohort_jobs_at_once: Unfinished jobs of the last minute per project.
        cohort_repeated_header: The file names `amplitude_id` a second time.
        cohort_tab_prefix: Headers and values of the file start with a TAB.
        cohort_gzip_body: The file is gzip without a header that says so.
        index_reporting: Whether an error map lists the `first` index or `all` (the pages disagree).
        short_ids_in_batch: What Batch does with an id that is too short: `reject` as HTTP V2 does,
            or `drop` the id and reject only events left without one (UNVERIFIED).
        insert_id_scope: What makes two uploads one event: `device` and insert id, or the insert id
            `alone` (UNVERIFIED for Batch).
        count_duplicates: Whether `events_ingested` counts events that are ignored as duplicates
            (UNVERIFIED).
        dedupe_days: How long an insert id is remembered.
        http_max_bytes, batch_max_bytes: Larger bodies are answered 413.
        http_events_per_second, http_window_seconds: Events of one user or device, averaged.
        batch_events_per_second, batch_window_seconds: The same for Batch.
        identify_max_identifications: More in one call are answered 413.
    """

    export_delay_hours: float = 3.0
    export_max_bytes: int = 4 * 1024**3
    export_timeout_lines: int | None = None
    archive: Shape = field(default_factory=Shape)
    rest_in_flight: int = 5
    cohort_polls: int = 2
    cohort_inline_bytes: int = 64 * 1024
    cohort_link_seconds: float = 60.0
    cohort_file_days: float = 7.0
    cohort_requests_a_month: int = 500
    cohort_requests_in_window: int = 60
    cohort_window_seconds: float = 600.0
    cohort_jobs_at_once: int = 4
    cohort_repeated_header: bool = False
    cohort_tab_prefix: bool = False
    cohort_gzip_body: bool = False
    index_reporting: Literal["first", "all"] = "first"
    short_ids_in_batch: Literal["reject", "drop"] = "reject"
    insert_id_scope: Literal["device", "alone"] = "device"
    count_duplicates: bool = False
    dedupe_days: float = 7.0
    http_max_bytes: int = 1_000_000
    batch_max_bytes: int = 20_000_000
    http_events_per_second: float = 30.0
    http_window_seconds: float = 1.0
    batch_events_per_second: float = 1_000.0
    batch_window_seconds: float = 30.0
    identify_max_identifications: int = 5_000
