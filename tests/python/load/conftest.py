"""Amplitude's emulator for the tests of one module, its clock at `made.NOW`."""

from collections.abc import Iterator

import pytest

from load.made import NOW
from relay.emulate import AmplitudeSwitches, Clock, Emulators


@pytest.fixture(scope="session")
def _running() -> Iterator[Emulators]:
    with Emulators(clock=Clock(NOW, frozen=True)) as emulators:
        yield emulators


@pytest.fixture
def emulators(_running: Emulators) -> Iterator[Emulators]:
    """Running emulators that know nothing, at `NOW`, without a fault."""
    amplitude = _running.amplitude
    _running.clock.set(NOW)
    for name, value in vars_of(AmplitudeSwitches()).items():
        setattr(amplitude.switches, name, value)
    amplitude.faults.clear()
    amplitude.events.projects.clear()
    amplitude.cohorts.cohorts.clear()
    amplitude.cohorts.jobs.clear()
    amplitude.cohorts.requests_by_month.clear()
    amplitude.cohorts._recent.clear()
    yield _running
    amplitude.faults.clear()


def vars_of(switches: AmplitudeSwitches) -> dict[str, object]:
    """The switches by name."""
    return {name: getattr(switches, name) for name in AmplitudeSwitches.__dataclass_fields__}
