"""Packages that tests need and the matrix lacks: its environments hold what the client needs and little more."""

from __future__ import annotations

import importlib
import os
from typing import Any

import pytest

MATRIX = "REMOTE_CLIENT_TEST_MATRIX" in os.environ
"""Whether this run is one of noxfile.py's."""


def main_only(name: str) -> Any:
    """Import a module that the main environment has; in the matrix, skip where it is missing."""
    return pytest.importorskip(name) if MATRIX else importlib.import_module(name)
