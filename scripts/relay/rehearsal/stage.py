"""Bring an emulated Amplitude to a step of a made-up world."""

from datetime import datetime

from relay.emulate.amplitude.vendor import Amplitude
from relay.rehearsal.world import Moment

# Keys of the list's entry that the emulator makes itself.
_MADE_THERE = ("appId", "definition", "finished", "id", "name", "lastComputed", "size")


def stage_amplitude(amplitude: Amplitude, moment: Moment, since: datetime | None = None) -> int:
    """Let Amplitude know what happened up to a step, and what its cohorts came to.

    Args:
        amplitude: The emulator; its clock is the caller's to set, to `moment.now`.
        moment: The world at the step.
        since: `now` of the step staged before; None where none was. Events are put in once.

    Returns:
        How many rows the export gained.
    """
    count = 0
    for hour in moment.hours(since):
        count += amplitude.add_events(str(hour.project), {hour.hour: hour.lines})
    for cohort in moment.cohorts():
        amplitude.set_cohort(
            cohort.cohort_id,
            cohort.name,
            last_computed=cohort.computed_at,
            members=cohort.rows,
            file=cohort.csv,
            **{key: value for key, value in cohort.listing.items() if key not in _MADE_THERE},
        )
    return count
