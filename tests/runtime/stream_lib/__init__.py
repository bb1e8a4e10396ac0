"""A library of a model whose inputs are all optional, beside one that takes a stream."""

from . import modules
