"""Answers that are files. This module loads no pydantic."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..._objects.exports import exported_from


@exported_from("remote_client")
@dataclass(frozen=True)
class FileResponse:
    """An answer that is a file. Over HTTP, caikit sends results this way if their type can be written to a file.

    Attributes:
        filename: the file's name; None if the server gives none.
        content_type: its media type, such as `application/zip`.
        data: its bytes.
    """

    filename: str | None
    content_type: str
    data: bytes

    def _asdict(self) -> dict[str, Any]:
        # As an argument, a file answer is caikit's `File`.
        return {"data": self.data, "filename": self.filename, "type": self.content_type}

    def __repr__(self) -> str:
        return f"FileResponse(filename={self.filename!r}, content_type={self.content_type!r}, {len(self.data)} bytes)"
