"""Bodies of HTTP messages that are not plain JSON."""

from __future__ import annotations


class Body(bytes):
    """A multipart request, or an answer that is a file.

    Attributes:
        content_type: the media type, with its parameters.
        filename: the file name of an answer; None if it has none.
    """

    content_type: str
    filename: str | None

    def __new__(cls, data: bytes, content_type: str, filename: str | None = None) -> Body:
        body = super().__new__(cls, data)
        body.content_type = content_type
        body.filename = filename
        return body


class UnexpectedBody(bytes):
    """An answer whose media type is not JSON's. It may be JSON nevertheless.

    Attributes:
        problem: the error message if it is not.
    """

    problem: str

    def __new__(cls, data: bytes, content_type: str = "") -> UnexpectedBody:  # pickle passes only the bytes
        body = super().__new__(cls, data)
        body.problem = f"HTTP status 200, but {content_type}, not JSON"
        return body
