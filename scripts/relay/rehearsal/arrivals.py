"""A script's visits as single events, in the order in which Amplitude receives them.

Only one hour of events is held at a time. Among them are the doubles that exports are known for:

* exact re-exports: the same row, `uuid` and all, stands in the hour's files twice;
* retries: a client that got no answer sends an event again under the same `$insert_id`. Amplitude
  drops such a double within 7 days, so a retry comes 7 days and an hour later in a world that
  lasts that long; in a shorter one it comes 2 to 3 hours later, a case the vendor's window leaves
  open and that loaders have to stand.
"""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from relay.rehearsal.amplitude_ids import AmplitudeIds
from relay.rehearsal.noise import between, chance
from relay.rehearsal.script import DAY_MS, HOUR_MS, Script, Visit, to_ms

RE_EXPORTED_PERCENT = 0.5
RETRIED_PERCENT = 0.5


@dataclass(frozen=True, slots=True)
class Arrival:
    """One event as it reaches Amplitude.

    Attributes:
        visit: What it is part of.
        index: Its place in the visit, from 0.
        attempt: 0, or 1 for a client's retry.
        event_ms: When it happened, by a right clock; epoch milliseconds.
        upload_ms: Its `server_upload_time`; epoch milliseconds.
        user_id: The user id it carries, if any.
        amplitude_id: The id it is given.
        copies: How often its row stands in the export: 2 for a re-exported one.
    """

    visit: Visit
    index: int
    attempt: int
    event_ms: int
    upload_ms: int
    user_id: str | None
    amplitude_id: int
    copies: int


# (upload_ms, person, visit number, index, attempt, event_ms, visit): the first five are unique, so
# that sorting never compares visits.
_Pending = tuple[int, int, int, int, int, int, Visit]


def hourly_arrivals(
    script: Script, ids: AmplitudeIds, *, until: datetime
) -> Iterator[tuple[int, list[Arrival]]]:
    """Let the world happen up to a time.

    Args:
        script: The world.
        ids: What Amplitude knows; empty at first, it learns as this goes on.
        until: Exclusive bound of `server_upload_time`.

    Yields:
        (start of the hour in epoch milliseconds, its events by upload time); hours without any
        event are left out.
    """
    for seen in script.history:
        ids.assign(seen.device_id, seen.user_id, 0, 0)
    until_ms = to_ms(until)
    retry_ms = _retry_delay_ms(script)
    by_hour: defaultdict[int, list[Visit]] = defaultdict(list)
    for visit in script.visits:
        if visit.uploaded_ms < until_ms:
            by_hour[visit.uploaded_ms // HOUR_MS].append(visit)
    pending: defaultdict[int, list[_Pending]] = defaultdict(list)
    hour = min(by_hour, default=0)
    while by_hour or pending:
        for visit in by_hour.pop(hour, ()):
            for event in _events(script.seed, visit, retry_ms):
                if event[0] < until_ms:
                    pending[event[0] // HOUR_MS].append(event)
        arrivals = [_arrive(script.seed, ids, event) for event in sorted(pending.pop(hour, ()))]
        if arrivals:
            yield hour * HOUR_MS, arrivals
        hour += 1


def _retry_delay_ms(script: Script) -> int:
    first = min((visit.uploaded_ms for visit in script.visits), default=0)
    lasts_ms = to_ms(script.steps[-1]) - first
    return 7 * DAY_MS + HOUR_MS if lasts_ms > 9 * DAY_MS else 2 * HOUR_MS


def _events(seed: int, visit: Visit, retry_ms: int) -> Iterator[_Pending]:
    """The events of a visit: seconds to minutes apart, uploaded at once or with the visit's delay.

    Events of one visit keep their order, and a visit lasts less than 40 minutes.
    """
    event_ms, upload_ms = visit.starts_ms, visit.uploaded_ms
    pause_ms = min(90_000, 2_400_000 // max(visit.events, 1))
    for index in range(visit.events):
        key = (visit.person, visit.number, index)
        yield upload_ms, *key, 0, event_ms, visit
        if chance(RETRIED_PERCENT, seed, *key, 21):
            late_ms = retry_ms + between(0, HOUR_MS, seed, *key, 22)
            yield upload_ms + late_ms, *key, 1, event_ms, visit
        step_ms = between(pause_ms // 20, pause_ms, seed, *key, 23)
        event_ms += step_ms
        upload_ms += step_ms


def _arrive(seed: int, ids: AmplitudeIds, event: _Pending) -> Arrival:
    upload_ms, person, number, index, attempt, event_ms, visit = event
    user_id = None if index < visit.anonymous_events else visit.user_id
    is_re_exported = chance(RE_EXPORTED_PERCENT, seed, person, number, index, attempt, 24)
    return Arrival(
        visit=visit,
        index=index,
        attempt=attempt,
        event_ms=event_ms,
        upload_ms=upload_ms,
        user_id=user_id,
        amplitude_id=ids.assign(visit.device_id, user_id, event_ms, upload_ms),
        copies=2 if is_re_exported else 1,
    )
