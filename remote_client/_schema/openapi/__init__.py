"""Schemas of HTTP servers: OpenAPI documents, and codecs between Python values and JSON."""
