"""The vendors on loopback, as strict as they are known to be."""

from relay.emulate.amplitude.switches import AmplitudeSwitches
from relay.emulate.clevertap.switches import ClevertapSwitches
from relay.emulate.clock import Clock
from relay.emulate.faults import Fault, Faults
from relay.emulate.house import KEYS, PROJECT, Emulators
from relay.emulate.lytics.switches import LyticsSwitches
from relay.emulate.moengage.switches import MoengageSwitches

__all__ = [
    "KEYS",
    "PROJECT",
    "AmplitudeSwitches",
    "ClevertapSwitches",
    "Clock",
    "Emulators",
    "Fault",
    "Faults",
    "LyticsSwitches",
    "MoengageSwitches",
]
