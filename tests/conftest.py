"""Tests hold on any machine: one thread a process, no deadlines, the same examples everywhere."""

from __future__ import annotations

import os
from collections.abc import Iterator

import hypothesis
import pytest

from rivalry import registry

# Tensors of a test are small, and the tests' processes share the cores.
for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

hypothesis.settings.register_profile(
    "any machine", deadline=None, derandomize=True, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("any machine")


LONGEST = ("test_workflow.py",)
"""Files that take minutes. They start first, so that no process waits for another's at the end."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: item.path.name not in LONGEST)


@pytest.fixture(autouse=True)
def _no_plugins_are_left_in_use() -> Iterator[None]:
    yield
    registry.put_in_use(registry.NO_PLUGINS)
