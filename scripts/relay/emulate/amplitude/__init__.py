"""Amplitude on loopback: the Export and Cohorts services, and what takes events in."""

from relay.emulate.amplitude.vendor import Amplitude

__all__ = ["Amplitude"]
