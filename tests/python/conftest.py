"""Fixtures that more than one subject needs."""

import os

import pytest

from compiled import CompiledModels


@pytest.fixture(scope="session")
def compiled_models(tmp_path_factory: pytest.TempPathFactory) -> CompiledModels:
    """The project's models as SQL; compiled once for all workers of a run."""
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if os.environ.get("PYTEST_XDIST_WORKER") else base
    return CompiledModels.of_project(shared / "compiled")
