"""Emulators on loopback and a client for them."""

from collections.abc import Iterator
from datetime import UTC, datetime

import httpx
import pytest

from relay.emulate import ClevertapSwitches, Clock, Emulators

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


@pytest.fixture
def emulators() -> Iterator[Emulators]:
    """All vendors at noon, their calendar standing still; Partner Sync is accepted."""
    with Emulators(
        clock=Clock(NOON, frozen=True),
        clevertap=ClevertapSwitches(partner_sync_restricted=False),
    ) as running:
        yield running


@pytest.fixture(scope="session")
def client() -> Iterator[httpx.Client]:
    """An HTTP client that follows nothing by itself."""
    with httpx.Client(trust_env=False, timeout=20.0) as running:
        yield running
