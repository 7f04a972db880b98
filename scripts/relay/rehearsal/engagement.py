"""What campaigns did with the shop's people, and what of it has to reach Amplitude.

At every step MoEngage and CleverTap each tell of the campaign of the day before, which reached
about a third of the known people and a few anonymous devices. What an event's user and device have
to be in Amplitude follows ID-21 with its default settings; `engagement_files` writes the vendors'
sides of it.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

from relay.rehearsal.facts import Facts, fold
from relay.rehearsal.noise import between, noise, uuid_text
from relay.rehearsal.script import to_ms

Vendor = Literal["moengage", "clevertap"]
LEAST_ID_LENGTH = 5  # Amplitude's, and the default of `min_id_length`

MOENGAGE_EVENTS = (
    ("Email Sent", "MOE_EMAIL_SENT"),
    ("Email Delivered", "MOE_EMAIL_DELIVERED"),
    ("Email Opened", "MOE_EMAIL_OPEN"),
    ("Notification Received Android", "NOTIFICATION_RECEIVED_MOE"),
    ("Notification Clicked Android", "NOTIFICATION_CLICKED_MOE"),
    ("Coupon Scratched ✨", "MOE_SCRATCH_CARD"),  # a code of the future: passed through
)
CLEVERTAP_EVENTS = (
    ("Notification Sent", ""),
    ("Notification Viewed", ""),
    ("Notification Clicked", ""),
)


@dataclass(frozen=True, slots=True)
class Engagement:
    """One thing that happened at a vendor, and what Amplitude is to be told.

    Attributes:
        event_id: MoEngage's `event_uuid`; CleverTap has none, there it only tells events apart.
        event_name: As the vendor writes it.
        event_code: MoEngage's code; empty at CleverTap.
        at: UTC, whole seconds.
        identity: The vendor's user id as it spells it: `uid`, or `profile.identity`.
        device: The vendor's device: `moe_anonymous_id`, or `profile.objectId`.
        count: How often it happened: equal lines of one CleverTap file are as many events.
        user_id: What `user_id` must become; None: none.
        device_id: What `device_id` must become; None: none, and without both nothing is sent.
    """

    event_id: str
    event_name: str
    event_code: str
    at: datetime
    identity: str | None
    device: str | None
    count: int
    user_id: str | None
    device_id: str | None

    @property
    def is_dropped(self) -> bool:
        """Whether Amplitude would have nobody to hang it on."""
        return self.user_id is None and self.device_id is None


def engagements(facts: Facts, vendor: Vendor, step: int) -> list[Engagement]:
    """What a vendor reports at a step: the campaign of the day before, by time."""
    seed = facts.script.seed
    noon = facts.script.clock(step).replace(hour=0, minute=0, second=0) - timedelta(hours=12)
    kinds = MOENGAGE_EVENTS if vendor == "moengage" else CLEVERTAP_EVENTS
    reported = []
    for place, (identity, device, user_id, device_id) in enumerate(
        _addressees(facts, vendor, step)
    ):
        for nth, (name, code) in enumerate(kinds):
            key = (seed, step, place, nth, len(vendor))
            if nth and noise(*key, 101) % (nth + 2):
                continue
            at_ms = to_ms(noon) + between(0, 18_000, *key, 102) * 1000
            is_doubled = vendor == "clevertap" and noise(*key, 103) % 25 == 0
            reported.append(
                Engagement(
                    event_id=uuid_text(*key, 104),
                    event_name=name,
                    event_code=code,
                    at=datetime.fromtimestamp(at_ms // 1000, tz=UTC),
                    identity=identity,
                    device=device,
                    count=2 if is_doubled else 1,
                    user_id=user_id,
                    device_id=device_id,
                )
            )
    return sorted(reported, key=lambda event: (event.at, event.event_id))


_Addressee = tuple[str | None, str | None, str | None, str | None]


def _addressees(facts: Facts, vendor: Vendor, step: int) -> Iterator[_Addressee]:
    """(identity, device, expected user_id, expected device_id) of whom a campaign reached."""
    seed = facts.script.seed
    spellings = facts.user_ids(step)
    folded = Counter(fold(user_id) for user_id in spellings)
    for user_id in spellings:
        has_one_spelling = folded[fold(user_id)] == 1
        has_own_identity = facts.clevertap_identity(user_id, step) is not None
        is_plain = has_one_spelling and not has_own_identity and len(user_id) >= LEAST_ID_LENGTH
        if not is_plain or noise(seed, *user_id.encode(), step, 105) % 3:
            continue
        if vendor == "moengage":
            own = next(iter(facts.devices_of(user_id, step)), None)
            device_id = own if len(user_id) % 2 else None
            yield user_id, device_id, user_id, device_id
        else:  # CleverTap folds what it stores; its own id of the device is nobody's at Amplitude
            stored = f"__g{noise(seed, *user_id.encode(), 106):016x}"
            yield fold(user_id), stored, user_id, stored
    for place, device in enumerate(facts.anonymous_devices()):
        if place % 6 == step and facts.is_exported(device, step):
            spelt = _stored_device(device, place // 6) if vendor == "clevertap" else device
            yield None, spelt, None, device
    yield from _oddities(vendor)


def _stored_device(device: str, place: int) -> str:
    """How CleverTap may show a custom id: as it is, in lower case, behind its prefix."""
    return (device, device.lower(), f"__h{device}", f"-h{device.lower()}")[place % 4]


def _oddities(vendor: Vendor) -> Iterator[_Addressee]:
    """Ids that Amplitude refuses or that are too short; one bad value does not cost the other."""
    stranger = "device-of-a-stranger"
    yield "null", stranger, None, stranger
    yield "Undefined", None, None, None
    yield "bo", None, None, None
    yield None, None, None, None
    if vendor == "moengage":
        yield "stranger-to-amplitude", "", "stranger-to-amplitude", None
