"""Bytes with a type: what travels in a form of its own, where a protocol has more than one."""

from __future__ import annotations


class Body(bytes):
    """A multipart request, or an answer that is a file. Everything else is plain bytes.

    Attributes:
        content_type: the media type, with its parameters.
        filename: the name an answer's file was given; None without one.
    """

    content_type: str
    filename: str | None

    def __new__(cls, data: bytes, content_type: str, filename: str | None = None) -> Body:
        body = super().__new__(cls, data)
        body.content_type = content_type
        body.filename = filename
        return body


class Odd(bytes):
    """An answer of another type than JSON, which may be JSON all the same.

    Attributes:
        told: what to tell where it is not.
    """

    told: str

    def __new__(cls, data: bytes, content_type: str = "") -> Odd:  # pickle gives the bytes alone
        body = super().__new__(cls, data)
        body.told = f"HTTP status 200, but {content_type}, not JSON"
        return body
