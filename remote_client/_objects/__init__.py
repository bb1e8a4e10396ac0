"""Protocols of Python objects: copying, lazy attributes, bytes with a content type."""
