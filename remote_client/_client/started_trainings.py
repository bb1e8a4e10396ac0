"""The trainings that one client started, until their models are listed. Makes no calls itself."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Container, Iterator
from typing import NamedTuple

from ..errors import AlreadyExistsError, NotFoundError, PermissionDeniedError, UnauthenticatedError, UnimplementedError

Probe = Callable[[], Awaitable[NotFoundError | None]]
"""Asks the server for a model, which makes it list the model; see `job_servers.missing_model_error`."""


class _Training(NamedTuple):
    probe: Probe
    is_running: Callable[[], Awaitable[bool]] | None


class StartedTrainings:
    """The trainings that one client started, by the names of their models."""

    def __init__(self) -> None:
        self._started: dict[str, _Training] = {}
        self._starting: set[str] = set()

    @contextlib.contextmanager
    def starting(self, name: str) -> Iterator[None]:
        """Reserve a model's name while its training is started, or raise an AlreadyExistsError."""
        if name in self._starting:
            raise _taken(f"this client is starting a training of the model {name!r}", name)
        self._starting.add(name)
        try:
            yield
        finally:
            self._starting.discard(name)

    async def check_is_free(self, name: str, probe: Probe, target: str) -> None:
        """Check that a name is free. A server that allows no probe is believed; the start will show.

        Raises:
            AlreadyExistsError: the server has a model of that name, or this client is training one.
            RemoteCallError: the server could not be asked; no training was started.
        """
        earlier = self._started.get(name)
        if earlier is not None and earlier.is_running is not None and await earlier.is_running():
            raise _taken(f"this client is training a model {name!r}", name, target)
        try:
            missing = await probe()
        except (PermissionDeniedError, UnauthenticatedError, UnimplementedError):
            return  # a policy may allow trainings only
        if missing is None:
            raise _taken(f"the server holds a model {name!r} (undeploy_model() takes it away)", name, target)

    def add(self, name: str, probe: Probe, is_running: Callable[[], Awaitable[bool]] | None = None) -> None:
        """Record a started training: its server lists the model late, or at its first call."""
        self._started[name] = _Training(probe, is_running)

    def forget(self, name: str) -> None:
        """Drop a training whose model is listed or was undeployed."""
        self._started.pop(name, None)

    def forget_listed(self, listed: Container[str]) -> None:
        """Drop the trainings whose models are listed."""
        for name in [name for name in self._started if name in listed]:
            self.forget(name)

    def has_started(self, name: str) -> bool:
        """Return whether this client started a training of the model, which no server lists yet."""
        return name in self._started

    async def has_model(self, name: str) -> bool:
        """Return whether the server of a training has its model. The probe makes the server list it."""
        training = self._started.get(name)
        return training is not None and await training.probe() is None


def _taken(reason: str, name: str, target: str | None = None) -> AlreadyExistsError:
    error = AlreadyExistsError(
        f"{reason}: choose another model_name; no training was started", target=target, model=name
    )
    error.outcome_known = True
    return error
