"""Differences between two schemas, as the comparisons of both protocols collect them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Container, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

from .._objects.exports import exported_from
from .._text.cleaning import clean
from .budget import MAX_NAME, Budget
from .rpc import RemoteRPCDescriptor, ServiceDescription

_JOB_METHODS: tuple[Literal["status", "cancel", "result"], ...] = ("status", "cancel", "result")
_MOST_USERS = 60
"""The most methods to look for, for each type."""
_MOST_NAMED = 8
"""The most methods that a text names."""
_MOST_LETTERS = 200
"""The most letters of a method's path in a text."""


@exported_from("remote_client")
@dataclass(frozen=True)
class Difference:
    """A difference between a schema and a server, as a caller of the schema meets it.

    Attributes:
        path: the place, in the names of `describe()`: task and method, then an argument
            (`SampleTask.run_sample.sample_input.name`) or a field of the answer (`SampleTask.run_sample().greeting`).
            Members of a union are listed under the union, a training under its RPC, a method of the runtime under its
            name. A difference that several methods share is listed once, under the first of them.
        breaking: whether it breaks callers of the schema.
        text: the difference, and the other methods that share it. Over gRPC a breaking one names buf's rule.
    """

    path: str
    breaking: bool
    text: str

    def __str__(self) -> str:
        return f"{'breaking' if self.breaking else 'compatible'}: {self.path}: {self.text}"


class Differences:
    """Collects differences, made safe to print, within the budget: a small schema may have very many long paths.

    Attributes:
        uses: which methods use which types.
    """

    def __init__(self, budget: Budget) -> None:
        self.uses = TypeUses(budget)
        self._found: list[tuple[Difference, Hashable]] = []
        self._budget = budget

    def add(self, path: str, text: str, *, breaking: bool = False, of: Hashable = None) -> None:
        """Add one; `of` is the type that has it, as `uses` knows it."""
        difference = Difference(clean(path, MAX_NAME), breaking, clean(text))
        self._budget.spend("bytes", len(difference.path) + len(difference.text))
        self._found.append((difference, of))

    def all(self) -> list[Difference]:
        """Return them in order. Those of a type name the other methods that use it."""
        users = self.uses.users() if any(kind is not None for _, kind in self._found) else {}
        others = {kind: _other_users(users.get(kind, ())) for _, kind in self._found}
        for _, kind in self._found:
            self._budget.spend("bytes", len(others[kind]))
        return [
            replace(difference, text=difference.text + others[kind]) if others[kind] else difference
            for difference, kind in self._found
        ]


class TypeUser(NamedTuple):
    """The request or the answer of a method.

    Attributes:
        task: the key of its task; without a task, the path.
        path: its path in differences; an answer's ends in `()`.
    """

    task: str
    path: str


class TypeUses:
    """Which methods use which types, so that a difference that is listed once names all methods it concerns."""

    def __init__(self, budget: Budget) -> None:
        self._inner: dict[Hashable, dict[Hashable, None]] = defaultdict(dict)
        self._users: dict[TypeUser, None] = {}
        self._check = budget.check

    def add_method(self, task: str, path: str) -> TypeUser:
        """Add a method's request or answer, and return it for `add`."""
        user = TypeUser(task or path, path)
        self._users[user] = None
        return user

    def add(self, outer: Hashable, inner: Hashable) -> None:
        """Record that a `TypeUser`, or a type, uses a type."""
        self._inner[outer][inner] = None

    def users(self) -> dict[Hashable, list[TypeUser]]:
        """Return the first methods that use each type, in order, up to a limit.

        A type at the limit is not visited again: the types inside it are at the limit too.
        """
        found: dict[Hashable, list[TypeUser]] = defaultdict(list)
        for user in self._users:
            waiting: list[Hashable] = [*self._inner[user]]
            while waiting:
                kind = waiting.pop()
                users = found[kind]
                if len(users) < _MOST_USERS and user not in users[-1:]:
                    self._check()
                    users.append(user)
                    waiting += self._inner.get(kind, ())
        return found


def _other_users(users: Sequence[TypeUser]) -> str:
    """Return a text that names a method of every task but the first user's, and counts the rest."""
    others = [user for user in users[1:] if not user.path.endswith("().result")]  # a job's is its task's answer
    if not others:
        return ""
    first_of = {user.task: user.path for user in reversed(others) if user.task != users[0].task}
    named = [*first_of.values()][::-1][:_MOST_NAMED] or [others[0].path]
    if len(users) == _MOST_USERS:
        more = " and many more"
    else:
        left = len(others) - len(named)
        more = f", {left} more" if left else ""
    return f"; also in {', '.join(clean(path, _MOST_LETTERS) for path in named)}{more}"


class Method(NamedTuple):
    """A method that a client calls.

    Attributes:
        path: its path in differences.
        task: the key of its task; empty if it belongs to none.
        rpc: the method.
        start: of a method that takes a job's id: the path on the wire of the job's start.
    """

    path: str
    task: str
    rpc: RemoteRPCDescriptor
    start: str = ""

    @property
    def takes_job(self) -> bool:
        """Whether it takes a job's id, and so comes with the job's start."""
        return bool(self.start)


def methods_of(description: ServiceDescription) -> Iterator[Method]:
    """Yield all methods that a client calls."""
    for key, task in description.tasks.items():
        for rpc in task.methods:
            path = f"{key}.{rpc.name}"
            yield Method(path, key, rpc)
            for role in _JOB_METHODS if rpc.job else ():
                method: RemoteRPCDescriptor | None = getattr(rpc.job, role)
                if method is not None:
                    yield Method(f"{path}().{role}", key, method, rpc.path)
    for key, rpc in description.trainings.items():
        yield Method(f"{key}.{rpc.name}", "", rpc)
    for name, rpc in description.management.items():
        yield Method(name, "", rpc)


class MethodMatcher:
    """Matches the methods of two schemas by their paths on the wire, and reports which were added and removed.

    Args:
        old: the callers' schema.
        new: the server's.
        served: the paths on the wire that the server has.
        found: takes the differences.
        rule: what the text of a removed method ends with.
    """

    def __init__(
        self,
        old: ServiceDescription,
        new: ServiceDescription,
        served: Container[str],
        found: Differences,
        rule: str = "",
    ) -> None:
        self._old = [*methods_of(old)]
        self._new = [*methods_of(new)]
        self._served = served
        self._found = found
        self._rule = rule

    def common(self) -> Iterator[Method]:
        """Yield the caller's methods that the server has. All others are reported by the time it ends."""
        now_at = {method.path: method.rpc.path for method in self._new}
        tasks = {method.task for method in self._new}
        removed = _first_of_unknown_tasks(self._old, self._served)
        removed = {key: method for key, method in removed.items() if key not in tasks or method.path in now_at}
        for method in self._old:
            moved = f"moved to {now_at[method.path]}" if method.path in now_at else ""
            if method.rpc.path in self._served:
                yield method
            elif method.task not in removed and (not method.takes_job or method.start in self._served):
                self._found.add(method.path, f"{moved or 'removed'}{self._rule}", breaking=True)
            elif removed.get(method.task) is method:
                self._found.add(method.task, f"the task {moved or 'was removed'}{self._rule}", breaking=True)
        self._report_added()

    def _report_added(self) -> None:
        known = {method.rpc.path for method in self._old}
        paths = {method.path for method in self._old}  # of a method that has moved
        tasks = {method.task for method in self._old}
        first = _first_of_unknown_tasks(self._new, known)
        added = {key: method for key, method in first.items() if key not in tasks}
        for method in self._new:
            if method.rpc.path in known or method.path in paths or method.takes_job:
                continue
            if method.task not in added:
                self._found.add(method.path, "added")
            elif added[method.task] is method:
                self._found.add(method.task, "the task was added")


def _first_of_unknown_tasks(methods: Iterable[Method], known: Container[str]) -> dict[str, Method]:
    """Return the first method of every task without a known method."""
    found: dict[str, Method] = {}
    for method in methods:
        if method.task:
            found.setdefault(method.task, method)
    for method in methods:
        if method.rpc.path in known:
            found.pop(method.task, None)
    return found
