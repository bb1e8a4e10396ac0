"""Identifiers for the names in a server's schema. What an identifier is, is decided here and nowhere else.

An identifier is `[A-Za-z_][A-Za-z0-9_]*` and no keyword; soft keywords (`match`, `type`) are identifiers. Python would
take more letters, but normalises them: `µ_score` and `μ_score` are one attribute and two names of a schema.
"""

from __future__ import annotations

import keyword
import re
from collections.abc import Callable, Iterable
from string import digits

_LETTERS = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_OTHERS = re.compile(r"[^A-Za-z0-9_]+")


def is_name(text: str) -> bool:
    """Whether a text has the letters of an identifier. Protobuf allows such names, of which some are keywords."""
    return _LETTERS.fullmatch(text) is not None


def is_identifier(text: str) -> bool:
    """Whether generated code may hold the text as a name."""
    return is_name(text) and not keyword.iskeyword(text)


def identifier_part(text: str) -> str:
    """Return what may stand inside of an identifier: each run of other letters is an underscore. Not injective."""
    return _OTHERS.sub("_", text)


class Identifiers:
    """Gives names identifiers, no two of them the same one.

    The rule: a name that is an identifier, starts with no underscore, and is neither reserved nor taken stays as it is.
    Of any other one each run of other letters becomes an underscore, and underscores in front are dropped; `fallback`
    stands for what is empty then, and in front of a digit. If that is reserved or taken, the first of `_`, `_2`, `_3`,
    ... is appended that makes an identifier which is neither. So `_x` is `x`, `from` is `from_`, and beside a `from_`
    it is `from_2`; `a b` is `a_b`, `1` is `field_1`.

    Args:
        taken: identifiers that no name gets.
        reserved: tells whether no name may get an identifier.
        fallback: an identifier for names of other letters only.
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
        """Return an identifier for each name. Names that can stay do so, wherever they stand."""
        names = dict.fromkeys(names)
        kept = {name for name in names if not name.startswith("_") and self._is_free(name)}
        self._taken |= kept
        return {name: name if name in kept else self.of(name) for name in names}

    def of(self, name: str) -> str:
        """Return the identifier for one name. Asked again, it is another one."""
        stem = self._stem(name)
        found = stem
        while not self._is_free(found):
            # Each stem counts on: a name that was taken before is not looked at again.
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
    """Return for each name of a field the one of its attribute and parameter.

    Args:
        names: of the fields of one message or object.
        taken: identifiers that stand for something else there.
    """
    names = list(names)
    # A field that changes its name never gets that of another one, so `taken` may hold the fields' own names.
    return Identifiers(set(taken).difference(names), reserved=_is_reserved).of_all(names)


def _is_reserved(name: str) -> bool:
    """Whether a model or a method uses the name itself; what is called `Config` pydantic takes for a configuration."""
    from pydantic import BaseModel

    return name in ("self", "Config") or hasattr(BaseModel, name)
