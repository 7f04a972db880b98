"""MoEngage on loopback: cohort sync, the data API, file segments, and Streams as a sender."""

from relay.emulate.moengage.switches import MoengageSwitches
from relay.emulate.moengage.vendor import Moengage

__all__ = ["Moengage", "MoengageSwitches"]
