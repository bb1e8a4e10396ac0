"""Finds the recorded call for a call: by its method, its model and the values of its messages. Without I/O."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from .format import Answer, RecordedCall, model_of
from .messages import Messages
from .secrets import Pairs, Secrets, in_method, in_request


@dataclass
class _Equals:
    """Recorded calls with equal requests, which are answered with one after the other, and then with the last again."""

    requests: tuple[Hashable, ...]
    is_input_whole: bool
    calls: list[RecordedCall] = field(default_factory=list)
    taken: int = 0

    @cached_property
    def usable(self) -> list[RecordedCall]:
        """The calls that the server ended; those whose reader left early only if there are no others."""
        return [call for call in self.calls if call.is_whole] or self.calls

    @property
    def current(self) -> RecordedCall:
        return self.usable[min(self.taken, len(self.usable) - 1)]

    def fits(self, requests: list[Hashable], is_over: bool) -> bool:
        """Return whether the messages are the first of these requests, or all if the input `is_over`."""
        if self.is_input_whole and (is_over or len(requests) > len(self.requests)):
            return tuple(requests) == self.requests
        # The server or the client ended a call before its input did: what came later plays no part.
        common = min(len(requests), len(self.requests))
        return tuple(requests[:common]) == self.requests[:common] and not (is_over and common < len(self.requests))


@dataclass(frozen=True)
class Step:
    """What a call is answered with next.

    Attributes:
        answers: messages.
        head: the recorded call, in the first step: its headers are due.
        ended: the recorded call, once all its messages are answered and its status is due.
    """

    answers: list[bytes]
    head: RecordedCall | None = None
    ended: RecordedCall | None = None


class Shelf:
    """The calls of a cassette.

    Args:
        calls: the calls, in their order.
        messages: how to compare their messages.
        model_key: the metadata key that names the model.
    """

    def __init__(self, calls: Iterable[RecordedCall], messages: Messages, model_key: str) -> None:
        self.calls = list(calls)
        self.messages = messages
        self.model_key = model_key
        self._equals: dict[tuple[str, str], dict[Any, _Equals]] = {}
        for call in self.calls:
            self._add(call)

    def _add(self, call: RecordedCall) -> None:
        requests = tuple(self.value(call.method, data) for data in call.requests)
        same = self._equals.setdefault((in_method(call.method), call.model(self.model_key)), {})
        key = requests, call.is_input_whole
        same.setdefault(key, _Equals(*key)).calls.append(call)

    def value(self, method: str, data: bytes) -> Hashable:
        """Return the value of a request, by which it is compared."""
        return self.messages.value(method, in_request(self.messages.without_credentials(method, data)))

    def playing(self, method: str, metadata: Pairs) -> Playing:
        """Return the state of a call that has begun, with this metadata."""
        method, model = in_method(method), model_of(metadata, self.model_key)
        equals = list(self._equals.get((method, model), {}).values())
        return Playing(self, method, model, Secrets(metadata, self.model_key), equals)


class Playing:
    """A call that is answered from the cassette. See `Shelf.playing`.

    Attributes:
        method: its method; of an HTTP call the query is in order.
        model: the model's name; empty if it names none.
        received: the messages of the client, without credentials.
    """

    def __init__(self, shelf: Shelf, method: str, model: str, secrets: Secrets, equals: list[_Equals]) -> None:
        self.method = method
        self.model = model
        self.received: list[bytes] = []
        self._shelf = shelf
        self._secrets = secrets
        self._equals = equals
        self._values: list[Hashable] = []
        self._is_over = False
        self._sent: list[bytes] = []
        self._call: RecordedCall | None = None
        self._has_begun = False

    def receive(self, data: bytes | None) -> Step | None:
        """Take a message of the client, or None for the end of its input, and return the answers that are due.

        None is returned if no recorded call begins like this one.
        """
        if data is None:
            self._is_over = True
        else:
            self.received.append(self._secrets.in_request(data))
            self._values.append(self._shelf.value(self.method, self.received[-1]))
        fitting = [
            equals for equals in self._equals if equals.fits(self._values, self._is_over) and self._goes_on(equals)
        ]
        if not fitting:
            return None
        return self._step(min(fitting, key=lambda equals: not equals.current.is_whole))

    def _call_of(self, equals: _Equals) -> RecordedCall:
        """Return the call that this one is answered with: the one it was already, or the next one."""
        return self._call if self._call in equals.calls and self._call is not None else equals.current

    def _goes_on(self, equals: _Equals) -> bool:
        """Return whether a recorded call was answered with what was sent already."""
        answers = self._call_of(equals).answers[: len(self._sent)]
        return [answer.data for answer in answers] == self._sent

    def _step(self, equals: _Equals) -> Step:
        call, progress = self._call_of(equals), len(self.received) + self._is_over
        due = _due(call.answers[len(self._sent) :], progress)
        is_over = len(self._sent) + len(due) == len(call.answers) and call.ended_after <= progress
        if (due or is_over) and self._call is not call:
            self._call = call
            equals.taken += 1
        self._sent += due
        head, self._has_begun = None if self._has_begun else call, True
        return Step(due, head, call if is_over else None)


def _due(answers: tuple[Answer, ...], progress: int) -> list[bytes]:
    """Return the first answers, up to one that came only after the client had sent more."""
    due = []
    for answer in answers:
        if answer.after > progress:
            break
        due.append(answer.data)
    return due
