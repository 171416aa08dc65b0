"""Fixtures that every folder of tests may use."""

from __future__ import annotations

from pathlib import Path

import pytest

SHARED_DIR = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(scope="session")
def shared_dir() -> Path:
    """The folder of real images beside the checkout; it is never part of the project."""
    if not SHARED_DIR.is_dir():
        pytest.skip("the shared data folder is not beside this checkout")
    return SHARED_DIR
