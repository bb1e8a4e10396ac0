"""A caikit library made for demonstrations and tests; it runs in the runtime's own environment."""

from . import data_model, modules
