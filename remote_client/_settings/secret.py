"""A secret that shows itself nowhere."""

from __future__ import annotations

from typing import Any, Self

from .._objects.copying import Immutable
from .._objects.exports import exported_from
from ..errors import PicklingError


@exported_from("remote_client.settings")
class Secret(Immutable):
    """Text that neither `repr` nor `str` shows, and that is never pickled."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    @classmethod
    def of(cls, value: Any) -> Self | None:
        """Return a text as a secret; a secret stays one, as does None.

        Raises:
            ValueError: it is no text.
        """
        if value is None or isinstance(value, cls):
            return value
        text = getattr(value, "get_secret_value", lambda: value)()  # of pydantic's `SecretStr`
        if isinstance(text, str):
            return cls(text)
        raise ValueError(f"must be text, not {type(value).__name__}")

    def get_secret_value(self) -> str:
        """Return the text in the clear."""
        return self._text

    def __repr__(self) -> str:
        return "Secret('**********')"

    def __str__(self) -> str:
        return "**********"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._text == self._text

    def __hash__(self) -> int:
        return hash(self._text)

    def __reduce__(self) -> Any:
        raise PicklingError(
            "tls.key_password: a secret is never pickled. Give the other process the path of a key_file without a "
            "password, which only its user can read, or make the client there"
        )

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> Any:
        return handler(str)
