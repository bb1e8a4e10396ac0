"""What a caller of one schema meets at a server of another, on either protocol. No I/O."""

from __future__ import annotations

from collections.abc import Container, Hashable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Literal

from .._text.cleaning import clean
from ..errors import SchemaError
from .budget import LIMITS, MAX_NAME, Budget
from .rpc import RemoteRPCDescriptor, ServiceDescription
from .type_uses import Uses, also

_JOB: tuple[Literal["status", "cancel", "result"], ...] = ("status", "cancel", "result")


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
    """Collects differences, made safe to print: names may be the server's.

    Args:
        budget: counts their text. Of long paths a small schema may have very many.

    Attributes:
        uses: which methods use which types.
    """

    def __init__(self, budget: Budget) -> None:
        self.uses = Uses(budget)
        self._found: list[tuple[Difference, Hashable]] = []
        self._budget = budget

    def add(self, path: str, text: str, *, breaking: bool = False, of: Hashable = None) -> None:
        """Add one; `of` is the type that has it, as `uses` knows it."""
        made = Difference(clean(path, MAX_NAME), breaking, clean(text))
        self._budget.spend("bytes", len(made.path) + len(made.text))
        self._found.append((made, of))

    def all(self) -> list[Difference]:
        """Return them in their order. Those of types name the other methods that use the type."""
        methods = self.uses.methods() if any(of is not None for _, of in self._found) else {}
        told = {of: also(methods.get(of, ())) for _, of in self._found}
        for of in (of for _, of in self._found):
            self._budget.spend("bytes", len(told[of]))
        return [replace(each, text=each.text + told[of]) if told[of] else each for each, of in self._found]


def differences(
    old: ServiceDescription,
    new: ServiceDescription,
    budget: Budget | None = None,
    names: tuple[str, str] = ("the schema on file", "the server's schema"),
) -> list[Difference]:
    """Compare what a caller knows with what a server tells, in the order of the caller's tasks.

    Only what a caller of caikit can reach counts: tasks, jobs, trainings, the runtime's own methods, and the types of
    their requests and answers.

    Args:
        old: the caller's schema.
        new: the server's, of the same protocol.
        budget: what comparing may cost.
        names: what errors call the two.

    Raises:
        SchemaError: one of them cannot be used, or is too large.
    """
    if old.source is None or new.source is None:
        raise SchemaError("only what a server or a file told can be compared")
    from .openapi import differences as openapi_differences
    from .openapi import document as openapi
    from .protobuf import differences as protobuf_differences  # here: a client seldom needs them

    # A server's document and one on file are described by two functions.
    is_http = old.source[0].__module__ == openapi.__name__
    budget = budget or budget_for_two()
    if is_http:
        return openapi_differences.compare(old, new, budget)
    return protobuf_differences.compare(old, new, budget, names)


def budget_for_two() -> Budget:
    """Return what two schemas may cost that are within the limits of one."""
    return Budget(limits={kind: 3 * most for kind, most in LIMITS.items()})


@dataclass(frozen=True, slots=True)
class Method:
    """A method that a client calls.

    Attributes:
        path: its path in differences.
        task: the key of its task; empty of what is no task's.
        rpc: the method.
        start: of a method that asks about a job: the path on the wire of the job's start.
    """

    path: str
    task: str
    rpc: RemoteRPCDescriptor
    start: str = ""

    @property
    def asks(self) -> bool:
        """Whether it asks about a job, and so comes with the job's start."""
        return bool(self.start)


def methods_of(description: ServiceDescription) -> Iterator[Method]:
    """Yield all methods that a client calls."""
    for key, task in description.tasks.items():
        for rpc in task.methods:
            path = f"{key}.{rpc.name}"
            yield Method(path, key, rpc)
            for deed in _JOB if rpc.job else ():
                asking: RemoteRPCDescriptor | None = getattr(rpc.job, deed)
                if asking is not None:
                    yield Method(f"{path}().{deed}", key, asking, rpc.path)
    for key, rpc in description.trainings.items():
        yield Method(f"{key}.{rpc.name}", "", rpc)
    for name, rpc in description.management.items():
        yield Method(name, "", rpc)


class Methods:
    """Matches the methods of two schemas by their paths on the wire, and tells which came and went.

    Args:
        old: the caller's schema.
        new: the server's.
        answered: the paths on the wire that the server has.
        found: takes the differences.
        rule: what the text of a removed method ends with.
    """

    def __init__(
        self,
        old: ServiceDescription,
        new: ServiceDescription,
        answered: Container[str],
        found: Differences,
        rule: str = "",
    ) -> None:
        self._old = [*methods_of(old)]
        self._new = [*methods_of(new)]
        self._answered = answered
        self._found = found
        self._rule = rule

    def common(self) -> Iterator[Method]:
        """Yield the caller's methods that the server has. All others are told by the time it ends."""
        now_at = {each.path: each.rpc.path for each in self._new}
        tasks = {each.task for each in self._new}
        lost = _whole_tasks(self._old, self._answered)
        lost = {key: each for key, each in lost.items() if key not in tasks or each.path in now_at}
        for each in self._old:
            if each.rpc.path in self._answered:
                yield each
            elif each.task not in lost and (not each.asks or each.start in self._answered):
                text = f"moved to {now_at[each.path]}" if each.path in now_at else "removed"
                self._found.add(each.path, f"{text}{self._rule}", breaking=True)
            elif lost.get(each.task) is each:
                text = f"moved to {now_at[each.path]}" if each.path in now_at else "was removed"
                self._found.add(each.task, f"the task {text}{self._rule}", breaking=True)
        self._tell_new()

    def _tell_new(self) -> None:
        known = {each.rpc.path for each in self._old}
        paths = {each.path for each in self._old}  # of a method that has moved
        tasks = {each.task for each in self._old}
        gained = {key: each for key, each in _whole_tasks(self._new, known).items() if key not in tasks}
        for each in self._new:
            if each.rpc.path in known or each.path in paths or each.asks:
                continue
            if each.task not in gained:
                self._found.add(each.path, "added")
            elif gained[each.task] is each:
                self._found.add(each.task, "the task was added")


def _whole_tasks(methods: Iterable[Method], known: Container[str]) -> dict[str, Method]:
    """The first method of each task of which no method is known."""
    found: dict[str, Method] = {}
    for each in methods:
        if each.task:
            found.setdefault(each.task, each)
    for each in methods:
        if each.rpc.path in known:
            found.pop(each.task, None)
    return found
