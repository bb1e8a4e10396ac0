"""Messages by protobuf's wire format, such as protobuf itself would be slow to make."""

from __future__ import annotations


def field(number: int, data: bytes) -> bytes:
    """A field of bytes, text or a message."""
    size, encoded = len(data), bytearray([number << 3 | 2])
    while size > 0x7F:
        encoded.append(size & 0x7F | 0x80)
        size >>= 7
    return bytes(encoded) + bytes([size]) + data


def listing(*services: str) -> bytes:
    """Reflection's answer that lists services."""
    return field(6, b"".join(field(1, field(1, each.encode())) for each in services))
