"""The names of environment variables. It imports nothing: the command's `--help` loads it."""

from __future__ import annotations


def variable(name: str) -> str:
    """Return the environment variable of a setting, or of an option of the command."""
    return f"REMOTE_CLIENT_{name.upper()}"
