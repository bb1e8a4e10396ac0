"""A library whose models take plain text, which no request can lack over gRPC."""

from . import modules
