"""Schemas of gRPC servers: descriptors, and codecs between Python values and protobuf."""
