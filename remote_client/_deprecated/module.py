"""Deprecated."""

from remote_client._deprecated import moved

__getattr__ = moved("remote_client.module", "RemoteModuleBase", "construct_remote_module_class")
