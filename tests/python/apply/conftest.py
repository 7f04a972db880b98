from dataclasses import replace
from pathlib import Path

import pytest

from apply.sealed import settings_in
from relay.apply import amplitude, clevertap, limits, run
from relay.apply.limits import Limits
from relay.http import RetryPolicy
from relay.settings import Settings


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return settings_in(tmp_path)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waits of milliseconds, for tests that are not about waiting."""

    def read_limits(project_root: Path) -> dict[tuple[str, str], Limits]:
        policy = RetryPolicy(wait_initial=0.001, wait_max=0.01)
        found = limits.read_limits(project_root).items()
        return {way: replace(limit, retries=policy) for way, limit in found}

    monkeypatch.setattr(run, "read_limits", read_limits)
    monkeypatch.setattr(clevertap, "FIRST_WAIT_SECONDS", 0.001)
    waits = dict.fromkeys(amplitude.WAIT_SECONDS, 0.001)
    monkeypatch.setattr(amplitude, "WAIT_SECONDS", waits)
