"""Lytics on loopback: the collect endpoints, and the profiles their rows amount to."""

from relay.emulate.lytics.switches import LyticsSwitches
from relay.emulate.lytics.vendor import Lytics

__all__ = ["Lytics", "LyticsSwitches"]
