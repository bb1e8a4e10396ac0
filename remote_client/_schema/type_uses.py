"""Which methods use a type, so that a difference that is told once names all whom it concerns. No I/O."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Sequence
from typing import NamedTuple

from .._text.cleaning import clean
from .budget import Budget

_MOST = 60
"""Methods that are looked for, for each type."""
_MOST_NAMED = 8
_MOST_LETTERS = 200
"""Of a method's path."""


class User(NamedTuple):
    """A method that uses a type.

    Attributes:
        task: the key of its task, or what it goes by otherwise.
        path: its path in differences; `()` follows where its answer has the type.
    """

    task: str
    path: str


class Uses:
    """Which types the methods use, and which types these have inside.

    Args:
        budget: asked whether anybody waits.
    """

    def __init__(self, budget: Budget) -> None:
        self._inner: dict[Hashable, dict[Hashable, None]] = defaultdict(dict)
        self._users: dict[User, None] = {}
        self._check = budget.check

    def add_method(self, task: str, path: str) -> User:
        """Add a method's request or answer, and return it as `add` takes it."""
        user = User(task or path, path)
        self._users[user] = None
        return user

    def add(self, outer: Hashable, inner: Hashable) -> None:
        """Add that a `User`, or a type, uses a type."""
        self._inner[outer][inner] = None

    def methods(self) -> dict[Hashable, list[User]]:
        """Return the first methods that use each type, in their order, up to a number of them.

        A type that has as many is not looked at again: those inside of it have them, too.
        """
        found: dict[Hashable, list[User]] = defaultdict(list)
        for user in self._users:
            waiting: list[Hashable] = [*self._inner[user]]
            while waiting:
                each = waiting.pop()
                users = found[each]
                if len(users) < _MOST and user not in users[-1:]:
                    self._check()
                    users.append(user)
                    waiting += self._inner.get(each, ())
        return found


def also(users: Sequence[User]) -> str:
    """Return what to tell of a type's users beside the first: a method of each other task, and a count."""
    others = [each for each in users[1:] if not each.path.endswith("().result")]  # a job's is its task's answer
    if not others:
        return ""
    first_of = {each.task: each.path for each in reversed(others) if each.task != users[0].task}
    named = [*first_of.values()][::-1][:_MOST_NAMED] or [others[0].path]
    if len(users) == _MOST:
        more = " and many more"
    else:
        left = len(others) - len(named)
        more = f", {left} more" if left else ""
    return f"; also in {', '.join(clean(each, _MOST_LETTERS) for each in named)}{more}"
