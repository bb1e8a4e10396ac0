"""A library whose model writes down its work, so that a test sees when it stops."""

from . import modules
