"""What the MoEngage emulator can be told to do otherwise."""

from dataclasses import dataclass
from typing import Literal


@dataclass(slots=True)
class MoengageSwitches:
    """Limits and behaviours of the MoEngage emulator; they may be changed while it runs.

    UNVERIFIED marks what no source settles, DISAGREE where sources differ; there the default is
    the harsher reading. Rates are read when the emulator is made.

    Attributes:
        max_bytes, bulk_max_bytes: Larger bodies are answered 413 (1,000 or 1,024 bytes a KB is
            UNVERIFIED).
        cohort_requests_a_minute: Cohort-sync requests; None: no limit.
        customers_a_minute, devices_a_minute, bulk_a_minute: Records of the data API.
        events_a_minute: 30,000 or 10,000 (DISAGREE).
        file_operations_an_hour, file_operations_a_day: Of file segments.
        file_max_bytes: A larger file is refused.
        reset_header: `x-ratelimit-reset` in `seconds` left or as an `epoch` second (DISAGREE).
        bulk_reports_errors: Whether a bulk call with a bad element is answered 400 (DISAGREE); by
            default it is accepted, and the bad element silently lost.
    """

    max_bytes: int = 128_000
    bulk_max_bytes: int = 100_000
    cohort_requests_a_minute: int | None = 300
    customers_a_minute: int | None = 10_000
    devices_a_minute: int | None = 10_000
    events_a_minute: int | None = 10_000
    bulk_a_minute: int | None = 60_000
    file_operations_an_hour: int | None = 10
    file_operations_a_day: int | None = 100
    file_max_bytes: int = 150 * 1024 * 1024
    reset_header: Literal["seconds", "epoch"] = "seconds"
    bulk_reports_errors: bool = False
