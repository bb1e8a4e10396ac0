"""Writes a server's tasks and types as a Python file of declared modules, for `remote-client stubs`."""
