"""Parsers of single settings: targets, durations, proxies, callables."""
