"""What syncs.yml may say: every key, its legal values and its default.

The models are frozen and know no file; `config_file` reads them from one and names the lines.
Rules that tie fields of one entry together are collected per entry, so that one reading of the
file finds them all.
"""

from collections.abc import Iterator
from datetime import date, time
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StrictBool, model_validator
from pydantic_core import PydanticCustomError

from relay.config_types import (
    EVERY_HOURS,
    CohortNameFormat,
    Count,
    Day,
    EmailAddress,
    EventName,
    Events,
    ExportFrequency,
    Name,
    OwnFile,
    Percent,
    Positive,
    Text,
    TextList,
    TimeOfDay,
    TimeZone,
    Word,
)

ALL_COHORTS = "all"

CohortDestination = Literal["clevertap", "moengage", "lytics"]
Delivery = Literal["events", "custom_list", "profile_property"]
CohortFrequency = Literal["one_time", "hourly", "daily", "real_time"]
OnUnknown = Literal["hold", "resend"]

_EXPORT_IDS = {
    "clevertap": (("identity", "phone", "email"), ("objectId", "none")),
    "moengage": (("uid",), ("moe_anonymous_id", "none")),
}


class Entry(BaseModel):
    """A mapping of syncs.yml: only the keys named here, never changed after reading."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=False)

    @model_validator(mode="before")
    @classmethod
    def _no_value_is_left_out(cls, data: Any) -> Any:
        # `event_imports:` with every line below it commented out reads as null.
        if not isinstance(data, dict):
            return data
        keys = {info.alias or name for name, info in cls.model_fields.items()}
        return {key: value for key, value in data.items() if value is not None or key not in keys}

    def conflicts(self) -> Iterator[tuple[str, str]]:
        """Fields that are right alone but not together: (key, what was expected)."""
        yield from ()

    @model_validator(mode="after")
    def _no_conflicts(self) -> "Entry":
        conflicts = list(self.conflicts())
        if conflicts:
            raise PydanticCustomError(
                "relay_conflicts", "fields that do not go together", {"conflicts": conflicts}
            )
        return self


class Guard(Entry):
    """When a sync is held: changes, in percent of its confirmed members, and from how many on."""

    max_removed_percent: Annotated[Percent, Field(le=100)] = 30.0
    max_added_percent: Percent = 300.0
    min_members: Count = 50


class GuardOfSync(Entry):
    """What one sync sets of the guard; what it leaves out is the file's `guard`."""

    max_removed_percent: Annotated[Percent, Field(le=100)] | None = None
    max_added_percent: Percent | None = None
    min_members: Count | None = None


class AmplitudeConfig(Entry):
    """Where and how far back Amplitude is read."""

    project: Word = "default"
    monthly_cohort_downloads: Positive = 500
    lookback_hours: Count = 24
    backfill_days: Count = 90
    min_id_length: Annotated[Positive, Field(le=1024)] = 5


class CohortSync(Entry):
    """One cohort (or with `all` every cohort, a sync each) to one destination."""

    name: Name
    cohort_id: Text
    destination: CohortDestination
    delivery: Delivery | None = None
    enabled: StrictBool = True
    frequency: CohortFrequency = "daily"
    at: TimeOfDay = "00:00"
    timezone: TimeZone = "UTC"
    user_id_from: Annotated[TextList, Field(min_length=1)] = ("user_id",)
    anonymous_id_from: TextList = ("device_id",)
    segment_name: Text | None = None
    guard: GuardOfSync = GuardOfSync()

    @model_validator(mode="before")
    @classmethod
    def _clevertap_sends_events(cls, data: Any) -> Any:
        if isinstance(data, dict) and data.get("destination") == "clevertap":
            return {"delivery": "events", **data}
        return data

    def conflicts(self) -> Iterator[tuple[str, str]]:
        """`at` goes with daily; `delivery`, `all` and `segment_name` with their destinations."""
        if "at" in self.model_fields_set and self.frequency != "daily":
            yield "at", "goes only with frequency: daily; leave it out"
        if self.destination != "clevertap" and "delivery" in self.model_fields_set:
            yield "delivery", "goes only with destination: clevertap; leave it out"
        if self.cohort_id == ALL_COHORTS and self.destination != "lytics":
            yield "cohort_id", "`all` goes only with destination: lytics; name one cohort"
        if self.segment_name is not None and self.destination == "lytics":
            yield "segment_name", "Lytics follows the cohort's own name; leave it out"
        if self.segment_name is not None and self.cohort_id == ALL_COHORTS:
            yield "segment_name", "one name cannot be that of every cohort; leave it out"

    @property
    def kind(self) -> Literal["cohort_sync"]:
        """What sort of sync it is, as in the tables and documents."""
        return "cohort_sync"

    @property
    def at_time(self) -> time:
        """`at` as a time of day in `timezone`."""
        return time.fromisoformat(self.at)

    @property
    def zone(self) -> ZoneInfo:
        """The zone in which `at` is meant."""
        return ZoneInfo(self.timezone)


class EventImport(Entry):
    """Amplitude's events into Lytics' stream `amplitude_events`: hourly, or once."""

    name: Name
    destination: Literal["lytics"] = "lytics"
    enabled: StrictBool = True
    backfill_days: Count = 90
    keep_updated: StrictBool = True

    @property
    def kind(self) -> Literal["event_import"]:
        """What sort of sync it is, as in the tables and documents."""
        return "event_import"

    @property
    def frequency(self) -> CohortFrequency:
        """Hourly while kept updated, else one time (Lytics, Amplitude: Import Events)."""
        return "hourly" if self.keep_updated else "one_time"


class EventExport(Entry):
    """Engagement events of CleverTap or MoEngage into Amplitude."""

    name: Name
    source: Literal["clevertap", "moengage"]
    nickname: Text | None = None
    enabled: StrictBool = True
    events: Events = "engagement"
    frequency: ExportFrequency = "every_24_hours"
    start_date: Day | None = None
    cycle_from: Day | None = None
    from_date: Annotated[Day | None, Field(alias="from")] = None
    to_date: Annotated[Day | None, Field(alias="to")] = None
    user_id_from: Text = ""
    device_id_from: Text = ""
    residency: Literal["eu", "standard"] | None = None
    created_at: AwareDatetime | None = None

    @model_validator(mode="before")
    @classmethod
    def _ids_of_the_source(cls, data: Any) -> Any:
        if not isinstance(data, dict) or data.get("source") not in _EXPORT_IDS:
            return data
        user_ids, device_ids = _EXPORT_IDS[data["source"]]
        return {"user_id_from": user_ids[0], "device_id_from": device_ids[0], **data}

    def conflicts(self) -> Iterator[tuple[str, str]]:
        """Dates go with their frequency, ids and streaming with their source."""
        one_time = self.frequency == "one_time"
        if self.frequency == "streaming" and self.source != "moengage":
            yield "frequency", "streaming goes only with source: moengage"
        if one_time and self.start_date is not None:
            yield "start_date", "goes only with every_N_hours; one_time takes from and to"
        if self.every_hours is None and self.cycle_from is not None:
            yield "cycle_from", "goes only with every_N_hours"
        for key, value in (("from", self.from_date), ("to", self.to_date)):
            if one_time and value is None:
                yield key, "a one_time export needs from and to: the first and the last day"
            elif not one_time and value is not None:
                yield key, "goes only with frequency: one_time; use start_date"
        if self.from_date and self.to_date and self.to_date < self.from_date:
            yield "to", f"expected a day that is not before from ({self.from_date})"
        user_ids, device_ids = _EXPORT_IDS[self.source]
        if self.user_id_from not in user_ids:
            yield "user_id_from", f"expected {' | '.join(user_ids)} for source: {self.source}"
        if self.device_id_from not in device_ids:
            yield "device_id_from", f"expected {' | '.join(device_ids)} for source: {self.source}"

    @property
    def kind(self) -> Literal["event_export"]:
        """What sort of sync it is, as in the tables and documents."""
        return "event_export"

    @property
    def destination(self) -> Literal["amplitude"]:
        """Engagement events always go to Amplitude."""
        return "amplitude"

    @property
    def cycle_start(self) -> date | None:
        """The midnight that runs are counted from, and before which there is none.

        Events are carried from `start_date` on. Another frequency begins a new cycle, at
        `cycle_from`, and leaves that day alone.
        """
        return self.cycle_from or self.start_date

    @property
    def every_hours(self) -> int | None:
        """The hours of `every_N_hours`; None for one_time and streaming."""
        hours = EVERY_HOURS.fullmatch(self.frequency)
        return int(hours[1]) if hours else None


Sync = CohortSync | EventImport | EventExport


class CleverTapConfig(Entry):
    """How CleverTap is told, for all its syncs."""

    event_name: EventName = "Partner Sync"
    match_case: Literal["fold", "exact"] = "fold"
    max_identity_bytes: Positive = 512
    on_unknown: OnUnknown = "hold"
    reassert: StrictBool = True
    list_email: EmailAddress = "cohort-relay@example.invalid"
    list_creator: Text = "Cohort Relay"


class MoEngageConfig(Entry):
    """How MoEngage is told, for all its syncs."""

    anonymous_keys: Literal["report", "send"] = "report"
    cohort_name_format: CohortNameFormat = "[Amplitude][{name}]"
    on_unknown: OnUnknown = "resend"
    reassert: StrictBool = True


class LyticsConfig(Entry):
    """How Lytics is told, for all its syncs."""

    additional_fields: StrictBool = False
    max_identifier_bytes: Positive = 256
    max_stitched_amplitude_ids: Annotated[Positive, Field(le=50)] = 40
    on_unknown: OnUnknown = "resend"
    reassert: StrictBool = True


class IdentityConfig(Entry):
    """Who is one person: limits, and the files of one's own beside the shipped rules."""

    device_linking: Literal["first_known_user", "off"] = "first_known_user"
    max_user_ids_per_device: Positive = 5
    flag_amplitude_ids_per_person: Positive = 100
    flag_devices_per_person: Positive = 100
    junk_ids: OwnFile | None = None
    overrides: OwnFile | None = None
    namespaces: dict[Text, Word] = Field(default_factory=dict)


class Config(Entry):
    """The whole of syncs.yml; without a file, what it says when it says nothing."""

    version: Literal[1] = 1
    guard: Guard = Guard()
    amplitude: AmplitudeConfig = AmplitudeConfig()
    cohort_syncs: tuple[CohortSync, ...] = ()
    event_imports: tuple[EventImport, ...] = ()
    event_exports: tuple[EventExport, ...] = ()
    clevertap: CleverTapConfig = CleverTapConfig()
    moengage: MoEngageConfig = MoEngageConfig()
    lytics: LyticsConfig = LyticsConfig()
    identity: IdentityConfig = IdentityConfig()
    suppress: OwnFile | None = None

    def conflicts(self) -> Iterator[tuple[str, str]]:
        """Two syncs may not share a segment: each knows only what it sent there itself."""
        first: dict[tuple[str | None, ...], str] = {}
        for sync in self.cohort_syncs:
            segment = (sync.destination, sync.delivery, sync.cohort_id, sync.segment_name)
            if sync.enabled and first.setdefault(segment, sync.name) != sync.name:
                both = f"{first[segment]} and {sync.name} bring one cohort to one segment"
                harm = "everybody would go twice, and each would take out whom the other keeps"
                yield "cohort_syncs", f"{both}: {harm}; leave one out"

    @property
    def syncs(self) -> tuple[Sync, ...]:
        """Every sync, import and export, in the order of the file's lists."""
        return (*self.cohort_syncs, *self.event_imports, *self.event_exports)

    def has_sync(self, name: str) -> bool:
        """Whether that is a sync, or one of those that an entry for every cohort stands for."""
        every = [one.name for one in self.cohort_syncs if one.cohort_id == ALL_COHORTS]
        is_of_every = any(name.startswith(f"{prefix}-") for prefix in every)
        return is_of_every or any(name == one.name for one in self.syncs)

    def guard_of(self, sync: CohortSync) -> Guard:
        """The guard of one sync: its own numbers, the file's where it has none."""
        return self.guard.model_copy(update=sync.guard.model_dump(exclude_none=True))

    def on_unknown_of(self, sync: Sync) -> OnUnknown:
        """What happens to requests of unknown outcome: resend where a repeat is harmless."""
        if isinstance(sync, EventImport):
            return "hold"
        if isinstance(sync, EventExport):
            return "resend"
        if sync.destination == "clevertap" and sync.delivery != "events":
            return "resend"
        by_destination = {
            "clevertap": self.clevertap.on_unknown,
            "moengage": self.moengage.on_unknown,
            "lytics": self.lytics.on_unknown,
        }
        return by_destination[sync.destination]
