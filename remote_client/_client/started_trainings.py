"""The trainings that one client started, until their models are listed. Makes no calls itself."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Container, Iterator
from dataclasses import dataclass

from ..errors import AlreadyExistsError, NotFoundError, PermissionDeniedError, UnauthenticatedError, UnimplementedError

Lacks = Callable[[], Awaitable[NotFoundError | None]]
"""Asks the server for a model, which makes the server list it; see `homes.lacks`."""


@dataclass(frozen=True)
class _Training:
    lacks: Lacks
    is_running: Callable[[], Awaitable[bool]] | None


class StartedTrainings:
    """The trainings that one client started, by the names of their models."""

    def __init__(self) -> None:
        self._begun: dict[str, _Training] = {}
        self._starting: set[str] = set()

    @contextlib.contextmanager
    def starting(self, name: str) -> Iterator[None]:
        """Hold a model's name while its training is started.

        Raises:
            AlreadyExistsError: another training of that name is being started.
        """
        if name in self._starting:
            raise _taken(f"this client is starting a training of the model {name!r}", name)
        self._starting.add(name)
        try:
            yield
        finally:
            self._starting.discard(name)

    async def check(self, name: str, lacks: Lacks, target: str) -> None:
        """Check that a name is free. A server that lets nobody ask is taken at its start's word.

        Raises:
            AlreadyExistsError: the server has a model of that name, or this client is training one.
            RemoteCallError: the server could not be asked; no training was started.
        """
        earlier = self._begun.get(name)
        if earlier is not None and earlier.is_running is not None and await earlier.is_running():
            raise _taken(f"this client is training a model {name!r}", name, target)
        try:
            missing = await lacks()
        except (PermissionDeniedError, UnauthenticatedError, UnimplementedError):
            return  # a policy may allow the training alone; its start tells what is forbidden
        if missing is None:
            raise _taken(f"the server holds a model {name!r} (undeploy_model() takes it away)", name, target)

    def add(self, name: str, lacks: Lacks, is_running: Callable[[], Awaitable[bool]] | None = None) -> None:
        """Record a started training: its server lists the model late, or when it is called first."""
        self._begun[name] = _Training(lacks, is_running)

    def forget(self, name: str) -> None:
        """Drop a training whose model is listed or was undeployed."""
        self._begun.pop(name, None)

    def forget_listed(self, listed: Container[str]) -> None:
        """Drop the trainings whose models are listed."""
        for name in [each for each in self._begun if each in listed]:
            self.forget(name)

    def has_started(self, name: str) -> bool:
        """Whether this client trains a model, or trained it and nobody lists it yet."""
        return name in self._begun

    async def has_model(self, name: str) -> bool:
        """Return whether the server of a training has its model; asking makes it list the model.

        Raises:
            RemoteCallError: it cannot be asked.
        """
        training = self._begun.get(name)
        return training is not None and await training.lacks() is None


def _taken(told: str, name: str, target: str | None = None) -> AlreadyExistsError:
    error = AlreadyExistsError(f"{told}: choose another model_name; no training was started", target=target, model=name)
    error.outcome_known = True
    return error
