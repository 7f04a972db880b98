"""CleverTap on loopback: uploads, custom lists and the events API."""

from relay.emulate.clevertap.switches import ClevertapSwitches
from relay.emulate.clevertap.vendor import Clevertap

__all__ = ["Clevertap", "ClevertapSwitches"]
