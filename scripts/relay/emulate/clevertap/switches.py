"""What the CleverTap emulator can be told to do otherwise."""

from dataclasses import dataclass, field


@dataclass(slots=True)
class ClevertapSwitches:
    """Limits and behaviours of the CleverTap emulator; they may be changed while it runs.

    UNVERIFIED marks what no source settles; there the default is the harsher reading.

    Attributes:
        partner_sync_restricted: Whether an uploaded `Partner Sync` event is refused with 513
            (UNVERIFIED: the name is on no published list, and the real list is longer than the
            published one). By default it is, so the default event name of this project cannot be
            delivered; a rehearsal sets this to False, or uses another event name.
        identity_ignores_case: Whether `Clevertap1` and `clevertap1` are one profile (UNVERIFIED
            beyond the example of CleverTap's Amplitude page, which this follows).
        max_records: Records in one upload; more are answered 400 (UNVERIFIED answer).
        max_bytes: Bytes in one upload; as many or more are answered 413 (UNVERIFIED both).
        max_event_properties: More are refused with 522 (100 or 256: the pages disagree).
        uploads_in_flight, others_in_flight: Requests at once; more are answered 429.
        restricted_events: Further event names refused with 513.
        discarded_events: Event names discarded in the dashboard, refused with 528.
        list_link_seconds: How long a custom list can be put to its address.
        list_max_bytes: A larger custom list is refused.
        events_in_progress: How often the events API says `still in progress` before each page.
        events_cursor_seconds, events_cursor_idle_seconds: Lifetime of a cursor.
        timezone: Zone in which the events API prints `ts`.
    """

    partner_sync_restricted: bool = True
    identity_ignores_case: bool = True
    max_records: int = 1_000
    max_bytes: int = 2_000_000
    max_event_properties: int = 100
    uploads_in_flight: int = 15
    others_in_flight: int = 3
    restricted_events: set[str] = field(default_factory=set)
    discarded_events: set[str] = field(default_factory=set)
    list_link_seconds: float = 86_400.0
    list_max_bytes: int = 5 * 1024**3
    events_in_progress: int = 1
    events_cursor_seconds: float = 4 * 3600.0
    events_cursor_idle_seconds: float = 3600.0
    timezone: str = "Asia/Kolkata"
