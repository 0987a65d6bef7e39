"""Whether tests can have the embedded model: an optional part, but not in CI."""

from __future__ import annotations

import os

import pytest

from app import local_model


def require_model() -> None:
    """Skips where the embedded model is not installed; under CI=true that is a failure."""
    if problem := local_model.available():
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(problem)
