"""Packages that tests need and the matrix lacks: its environments hold what the client needs and little more."""

from __future__ import annotations

import importlib
import importlib.util
import os
from typing import Any

import pytest

MATRIX = "REMOTE_CLIENT_TEST_MATRIX" in os.environ
"""Whether this run is one of noxfile.py's."""


def main_only(name: str) -> Any:
    """Import a module that the main environment has; in the matrix, skip where it is missing."""
    return pytest.importorskip(name) if MATRIX else importlib.import_module(name)


def needs(name: str) -> None:
    """As `main_only`, where a process of its own imports the module: nothing is imported here."""
    if MATRIX and importlib.util.find_spec(name) is None:
        pytest.skip(f"{name} is not in the matrix")
