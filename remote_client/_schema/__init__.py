"""Descriptions of servers: methods, types and codecs. No I/O, no event loop."""
