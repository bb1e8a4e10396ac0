"""Deprecated."""

from remote_client._deprecated import moved

__getattr__ = moved("remote_client.configuration", remote_finders="remote_client._client.configuration.remote_finders")
