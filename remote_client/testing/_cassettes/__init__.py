"""Cassettes: calls of a live runtime that are recorded in a file, and replayed from it."""
