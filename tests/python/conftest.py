"""Fixtures that more than one subject needs."""

import os
from pathlib import Path

import pytest

from compiled import CompiledModels
from identity_builds import IdentityBuilds


@pytest.fixture(scope="session")
def compiled_models(tmp_path_factory: pytest.TempPathFactory) -> CompiledModels:
    """The project's models as SQL; compiled once for all workers of a run."""
    return CompiledModels.of_project(_shared(tmp_path_factory) / "compiled")


@pytest.fixture(scope="session")
def models_built_again(tmp_path_factory: pytest.TempPathFactory) -> CompiledModels:
    """The same with the incremental branches: what a second build runs."""
    return CompiledModels.with_incremental_branches(_shared(tmp_path_factory) / "compiled")


@pytest.fixture(scope="session")
def identity_builds(tmp_path_factory: pytest.TempPathFactory) -> IdentityBuilds:
    """Identity's models for first and for later builds; compiled once for all workers of a run."""
    return IdentityBuilds.of_project(_shared(tmp_path_factory) / "identity_builds")


def _shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that the workers of one run have in common."""
    base = tmp_path_factory.getbasetemp()
    return base.parent if os.environ.get("PYTEST_XDIST_WORKER") else base
