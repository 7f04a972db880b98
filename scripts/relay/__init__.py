"""Cohort Relay: Amplitude cohorts and events to their destinations, engagement events back."""

__version__ = "0.1.0"
