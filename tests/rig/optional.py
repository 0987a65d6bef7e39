"""Parts a machine may lack: tests without one are skipped with a sentence that helps, but never in CI."""

from __future__ import annotations

import os

import pytest

from app import local_model


def missing(sentence: str) -> None:
    """Skips the test; under CI, where nothing may be missing, fails it."""
    (pytest.fail if os.environ.get("CI") else pytest.skip)(sentence)


def require_model() -> None:
    """For tests of the embedded model."""
    if problem := local_model.available():
        missing(problem)
