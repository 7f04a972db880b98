"""An arrival as a row of Amplitude's Export API: 55 keys in ASCII order, unset ones null.

Source: the export's observed rows of 2026 (key set, null and time forms); see the field table of
the Export API for what each key means. Values are made up, and depend only on the seed and on the
event, so a row made twice is equal.
"""

import json
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from relay.rehearsal import catalogue, people
from relay.rehearsal.arrivals import Arrival
from relay.rehearsal.noise import between, chance, noise, pick, uuid_text
from relay.rehearsal.script import DAY_MS, Person

INTERESTS = ("chess", "film", "käsekuchen", "cricket", "🧶 knitting", "日本語")
SKEWED_DEVICES_PERCENT = 3
_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))


class RowWriter:
    """Makes the rows of one project of one world.

    Args:
        seed: Of the world.
        project: Amplitude's project id, the `app` of each row.
        everyone: The people by number.
        step_clocks_ms: The clocks of the steps; some user properties change with them.
    """

    def __init__(
        self, seed: int, project: int, everyone: list[Person], step_clocks_ms: list[int]
    ) -> None:
        self._seed = seed
        self._project = project
        self._people = everyone
        self._step_clocks_ms = step_clocks_ms

    def row(self, arrival: Arrival) -> dict[str, Any]:
        """The 55 keys of an event, in their order."""
        seed, visit = self._seed, arrival.visit
        key = (seed, visit.person, visit.number, arrival.index)
        at_home = None if visit.is_server_side else people.place(seed, visit.person)
        model = None if visit.is_server_side else people.device_model(seed, visit.device_id)
        name = catalogue.event_type(
            seed,
            visit,
            arrival.index,
            signs_in=0 < visit.anonymous_events == arrival.index and arrival.user_id is not None,
        )
        received_ms = arrival.upload_ms - between(5, 21, *key, 51)
        client_ms, client_upload_ms, event_time = self._times(arrival, received_ms)
        is_paying = arrival.user_id is not None and visit.ending == "order"
        return {
            "$insert_id": uuid_text(*key, 52),
            "$insert_key": None,
            "$schema": None,
            "adid": None,
            "amplitude_attribution_ids": None,
            "amplitude_event_type": None,
            "amplitude_id": arrival.amplitude_id,
            "app": self._project,
            "city": at_home and at_home.city,
            "client_event_time": timestamp(client_ms),
            "client_upload_time": timestamp(client_upload_ms),
            "country": at_home and at_home.country,
            "data": {
                "path": "/2/httpapi",
                "user_properties_updated": name == "$identify" or arrival.index == 0,
                "group_first_event": {},
                "group_ids": {},
            },
            "data_type": "event",
            "device_brand": model and model.brand,
            "device_carrier": model and model.carrier,
            "device_family": model and model.family,
            "device_id": visit.device_id,
            "device_manufacturer": model and model.manufacturer,
            "device_model": model and model.model,
            "device_type": model and model.device_type,
            "dma": at_home and at_home.dma,
            "event_id": between(1, 900_000_000, *key, 53)
            if visit.is_server_side
            else visit.number * 50 + arrival.index + 1,
            "event_properties": catalogue.event_properties(seed, visit, arrival.index, name),
            "event_time": event_time,
            "event_type": name,
            "global_user_properties": None,
            "group_properties": {},
            "groups": {"company": ["Acme ☂ Ltd"]} if chance(4, seed, visit.person, 54) else {},
            "idfa": None,
            "ip_address": None if visit.is_server_side else people.ip_address(seed, visit.person),
            "is_attribution_event": None,
            "language": at_home and at_home.language,
            "library": "http/2.0" if model is None else model.library,
            "location_lat": at_home and at_home.latitude,
            "location_lng": at_home and at_home.longitude,
            "os_name": model and model.os_name,
            "os_version": model and model.os_version,
            "partner_id": None,
            "paying": True if is_paying else None,
            "plan": {},
            "platform": model and model.platform,
            "processed_time": timestamp(
                arrival.upload_ms + between(1_000, 75_000, *key, 55), noise(*key, 56) % 1000
            ),
            "region": at_home and at_home.region,
            "sample_rate": None,
            "server_received_time": timestamp(received_ms),
            "server_upload_time": timestamp(arrival.upload_ms),
            "session_id": -1 if visit.is_server_side else visit.starts_ms,
            "source_id": "",
            "start_version": None if visit.is_server_side else "4.1.0",
            "user_creation_time": None,
            "user_id": arrival.user_id,
            "user_properties": self._user_properties(arrival),
            "uuid": uuid_text(*key, 57 + arrival.attempt),
            "version_name": None if visit.is_server_side else pick(("4.3.1", "4.4.0"), *key, 59),
        }

    def _times(self, arrival: Arrival, received_ms: int) -> tuple[int, int, str | None]:
        """Device time of the event and of its upload, and Amplitude's `event_time`.

        `event_time` is the device's time corrected by what its clock was off at the upload, unless
        that is under 60 seconds (Amplitude, user data lookup).
        """
        visit = arrival.visit
        off_ms = 0 if visit.is_server_side else _clock_error_ms(self._seed, visit.device_id)
        client_ms = arrival.event_ms + off_ms
        client_upload_ms = received_ms - between(40, 900, self._seed, visit.person, 60) + off_ms
        correction_ms = received_ms - client_upload_ms
        if visit.odd_time == "missing":
            return client_ms, client_upload_ms, None
        if visit.odd_time:
            # A clock that was wrong when it happened and right when it was sent: nothing to see.
            odd_ms = -9_000_000_000 if visit.odd_time == "past" else 4_070_908_800_000
            return odd_ms, client_upload_ms, timestamp(odd_ms)
        if abs(correction_ms) < 60_000:
            correction_ms = 0
        return client_ms, client_upload_ms, timestamp(client_ms + correction_ms)

    def _user_properties(self, arrival: Arrival) -> dict[str, Any]:
        number = arrival.visit.person
        if arrival.user_id is None:
            return _visitor_properties(self._seed, number)
        properties = _customer_properties(self._seed, self._people[number])
        step = 1 + sum(arrival.event_ms >= clock_ms for clock_ms in self._step_clocks_ms)
        for from_step, identity in self._people[number].clevertap_identity:
            if step >= from_step:
                properties = properties | {"CleverTap_Identity": identity}
        return properties


@lru_cache(maxsize=32_768)
def _visitor_properties(seed: int, number: int) -> dict[str, Any]:
    """What is known of anybody, signed in or not."""
    return {
        "utm_source": pick(("newsletter", "søk", "friend", "(direct)"), seed, number, 61),
        "interests": [
            interest
            for place, interest in enumerate(INTERESTS)
            if chance(30, seed, number, place, 62)
        ],
    }


@lru_cache(maxsize=32_768)
def _customer_properties(seed: int, person: Person) -> dict[str, Any]:
    """What is known of somebody who is signed in."""
    number = person.number
    return _visitor_properties(seed, number) | {
        "name": person.name,
        "plan_tier": pick(("free", "plus", "pro ✨"), seed, number, 63),
        "lifetime_orders": between(0, 60, seed, number, 64),
        "newsletter": chance(50, seed, number, 65),
        "address": {"city": people.place(seed, number).city, "floor": noise(seed, number) % 9},
    }


def row_line(row: dict[str, Any]) -> str:
    """A row as its line in an export file, without the line end."""
    return _ENCODER.encode(row)


def timestamp(moment_ms: int, microseconds: int = 0) -> str:
    """Amplitude's form: `2026-06-16 11:05:03.120000`, UTC; milliseconds padded to six digits."""
    minutes, milliseconds = divmod(moment_ms, 60_000)
    seconds, milliseconds = divmod(milliseconds, 1000)
    return f"{_minute(minutes)}:{seconds:02d}.{milliseconds:03d}{microseconds:03d}"


@lru_cache(maxsize=16_384)
def _minute(minutes: int) -> str:
    return datetime.fromtimestamp(minutes * 60, tz=UTC).strftime("%Y-%m-%d %H:%M")


@lru_cache(maxsize=65_536)
def _clock_error_ms(seed: int, device_id: str) -> int:
    """How far a device's clock is off: not, for most; an hour or most of a day for the rest."""
    of_device = (seed, *device_id.encode()[:12], 66)
    if not chance(SKEWED_DEVICES_PERCENT, *of_device):
        return 0
    return pick((3_600_000, -5_400_000, DAY_MS - 7_000), *of_device, 67)
