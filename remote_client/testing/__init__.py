"""Runtimes for the tests of code that uses this client."""
