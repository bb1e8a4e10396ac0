"""Identifiers for the names in a server's schema.

An identifier is `[A-Za-z_][A-Za-z0-9_]*` and not a keyword; soft keywords (`match`, `type`) are identifiers. Python
allows more letters, but normalises them: `µ_score` and `μ_score` are the same attribute and two names of a schema.
"""

from __future__ import annotations

import keyword
import re
from collections.abc import Callable, Iterable
from string import digits

_LETTERS = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_OTHERS = re.compile(r"[^A-Za-z0-9_]+")


def is_name(text: str) -> bool:
    """Return whether a text has only the letters of an identifier. Protobuf allows such names, keywords too."""
    return _LETTERS.fullmatch(text) is not None


def is_identifier(text: str) -> bool:
    """Return whether generated code may use a text as a name."""
    return is_name(text) and not keyword.iskeyword(text)


def identifier_part(text: str) -> str:
    """Return a text as part of an identifier: runs of other letters become an underscore. Not injective."""
    return _OTHERS.sub("_", text)


class Identifiers:
    """Assigns identifiers to names, a different one to every name.

    A name stays as it is if it is an identifier without a leading underscore, and neither reserved nor taken. In other
    names, runs of other letters become an underscore, and leading underscores are removed. An empty result becomes
    `fallback`, which also goes before a digit. If the result is reserved or taken, the first of `_`, `_2`, `_3`, ... is
    appended that makes it free. So `_x` becomes `x`, `a b` `a_b`, `1` `field_1`, and `from` `from_`, or `from_2` beside
    a `from_`.

    Args:
        taken: identifiers that no name gets.
        reserved: returns whether an identifier is reserved.
        fallback: the identifier for names without a letter of an identifier.
    """

    def __init__(
        self,
        taken: Iterable[str] = (),
        *,
        reserved: Callable[[str], bool] = lambda name: False,
        fallback: str = "field",
    ) -> None:
        self._taken = set(taken)
        self._reserved = reserved
        self._fallback = fallback
        self._next: dict[str, int] = {}

    def of_all(self, names: Iterable[str]) -> dict[str, str]:
        """Return names -> identifiers. Names that can stay as they are do so, whatever the order."""
        names = dict.fromkeys(names)
        kept = {name for name in names if not name.startswith("_") and self._is_free(name)}
        self._taken |= kept
        return {name: name if name in kept else self.of(name) for name in names}

    def of(self, name: str) -> str:
        """Return an identifier for a name. A second call with the name returns another one."""
        stem = self._stem(name)
        found = stem
        while not self._is_free(found):
            # Stems keep their count, so that many equal stems take linear time.
            number = self._next[stem] = self._next.get(stem, 0) + 1
            found = f"{stem}_" if number == 1 else f"{stem}_{number}"
        self._taken.add(found)
        return found

    def _is_free(self, name: str) -> bool:
        return is_identifier(name) and name not in self._taken and not self._reserved(name)

    def _stem(self, name: str) -> str:
        stem = identifier_part(name).lstrip("_")
        if not stem or stem[0] in digits:
            stem = f"{self._fallback}_{stem}" if stem else self._fallback
        return stem


def attributes_of(names: Iterable[str], taken: Iterable[str] = ()) -> dict[str, str]:
    """Return the names of a message's or an object's fields -> the names of their attributes and parameters."""
    from pydantic import BaseModel  # here, because importing the client loads this module

    def is_reserved(name: str) -> bool:
        # pydantic takes a `Config` for the model's configuration.
        return name in ("self", "Config") or hasattr(BaseModel, name)

    names = list(names)
    # No field gets another field's name, so that `taken` may include the fields' names.
    return Identifiers(set(taken).difference(names), reserved=is_reserved).of_all(names)
