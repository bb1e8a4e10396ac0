"""Connections and calls: bytes in, bytes out. Nothing here knows a schema."""
