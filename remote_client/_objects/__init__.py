"""Behaviour of Python objects: copying, lazy attributes, exports, bytes with a content type."""
