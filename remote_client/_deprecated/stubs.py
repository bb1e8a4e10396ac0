"""Deprecated."""

from remote_client._deprecated import moved

__getattr__ = moved("remote_client.stubs", write="remote_client._stubs.writer.render")
