"""Calls of one answer: what `attempts` decides about them, carried out in the event loop. Streams are in `stream`."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable, Iterator, Mapping, Sequence
from contextlib import aclosing, contextmanager
from contextvars import copy_context
from dataclasses import dataclass, field, replace
from functools import partial
from time import monotonic
from typing import Any

from .._concurrency.time_limits import LATE, within
from .._schema.rpc import RemoteRPCDescriptor
from .._settings.durations import lasting
from .._text.cleaning import type_name
from .._text.redaction import clear_frames, masked, redacted, with_cause
from .._transport.balance import Balancer
from .._transport.call import Answer, Answered, Call, Transport
from .._transport.fetch import fetch
from .._transport.manager import ConnectionManager
from .._transport.metadata import REQUEST_ID, RawMetadata, merged, resolve_metadata
from .._transport.pending import Place
from ..auth import Credentials
from ..errors import (
    ClosedError,
    DeadlineExceededError,
    InputError,
    InvalidResponseError,
    OutcomeUnknownError,
    RemoteCallError,
    RemoteClientError,
    SchemaUnavailableError,
)
from ..hooks import Event, call_hooks, everywhere, hook_metadata, with_everywhere
from ..settings import CallOptions
from .attempts import Attempts, is_outcome_known, probe, shortened, shortest
from .inputs import EncodedMessages
from .logs import log
from .middleware import through
from .response import Response, ResponseMaker

Body = bytes | AsyncIterator[bytes]
_MakeAttempt = Callable[[Transport, Call, Answered], Awaitable[bytes]]
LARGE = 64 * 1024
"""Bytes of an answer that is decoded by another thread: of small nested messages they take 4 ms."""
logger = logging.getLogger("remote_client")
_NO_CALL = Call("")
"""Takes a call's place in the variables of a function that raises: its traceback keeps them."""


@dataclass(eq=False, repr=False)
class Caller:
    """Calls the methods of one server, or of several alike, for one model or for none, with one set of options.

    Attributes:
        connections: the server's connections.
        model_key: the metadata key that names the model.
        model: the model's name; None for methods that belong to no model.
        options: timeouts, metadata, retries, and the form of answers.
        balancer: chooses the server of a call among several.
        changed: called with the error of a call; returns a hint to add to it if the error suggests that the server's
            interface has changed, else an empty string.
        responds: whether a call of one answer returns a `Response`.
    """

    connections: ConnectionManager
    model_key: str
    model: str | None
    options: CallOptions
    balancer: Balancer[ConnectionManager] | None = None
    changed: Callable[[RemoteCallError], str] | None = None
    responds: bool = False
    _newest: list[Call] = field(default_factory=lambda: [_NO_CALL])
    """The newest record of a call, of all copies: `redact` takes its metadata out of errors."""
    _calls: dict[str, Call] = field(default_factory=dict, init=False)
    """The records of calls that never differ, by their paths."""

    @property
    def target(self) -> str:
        """The server's address as error messages show it."""
        return self.connections.target

    def replace(self, **changes: Any) -> Caller:
        """Return a caller with other options, on the same connections."""
        options = replace(self.options, **changes)
        # dataclasses.replace() is slower, and users may call with_options() before every call.
        return Caller(
            self.connections,
            self.model_key,
            self.model,
            options,
            self.balancer,
            self.changed,
            self.responds,
            self._newest,
        )

    def for_model(self, name: str | None) -> Caller:
        """Return a caller for another model or none, on the same connections."""
        return replace(self, model=name)

    def pinned(self) -> Caller:
        """Return a caller of one server only: a job is known to no other than the one that started it."""
        return self if self.balancer is None else replace(self, connections=self._pick(), balancer=None)

    def fields(self) -> dict[str, Any]:
        """Return the arguments that make such a caller, without `changed`."""
        return {name: getattr(self, name) for name in ("connections", "model_key", "model", "options", "balancer")}

    # -- metadata -----------------------------------------------------------------------------------------------------

    async def record(self, path: str, *, idempotent: bool = True) -> Call:
        """Return the record of a call that is to be made.

        Raises:
            DeadlineExceededError: a function did not return its metadata within the call's time. Nothing was sent.
        """
        call = self._calls.get(path) if idempotent else None
        if call is None:
            options, begun, limit = self.options, monotonic(), shortest(self.options)
            changing = any(map(callable, options.metadata))
            metadata = await (within(limit, self._metadata()) if changing else self._metadata())
            if metadata is LATE:
                message = f"no metadata within {lasting(limit)}: its function did not return"
                raise _unsent(message, path, self.connections, self.model)
            given = next((str(value) for key, value in metadata if key == REQUEST_ID), "")
            if not given:  # an empty one is none
                metadata = tuple(pair for pair in metadata if pair[0] != REQUEST_ID)
            call = Call(
                path,
                metadata,
                options.timeout,
                options.total_timeout,
                idempotent,
                model_key=self.model_key,
                request_id=given,
            )
            self.take_secrets(call)
            if changing:
                return shortened(call, call, monotonic() - begun)
            if idempotent:
                self._calls[path] = call
        return call

    async def _metadata(self) -> RawMetadata:
        metadata = await resolve_metadata(self.options.metadata, reserved=self.model_key, fetch=self._fetch)
        return metadata if self.model is None else ((self.model_key, self.model), *metadata)

    async def _fetch(self, url: str, body: bytes | None = None, **more: Any) -> bytes:
        """Send a request of credentials, through the proxy of the calls."""
        return await fetch(url, body, proxy=self.connections.proxy, **more)

    async def _renewed(self, attempts: Attempts, seconds: float | None, taken: bool) -> Call | None:
        """Return the call with other credentials than the refused ones; None if there are none, or nothing to send."""
        call = attempts.call
        credentials = tuple(source for source in self.options.metadata if isinstance(source, Credentials))
        for source in credentials:
            source.refused(dict(call.metadata))
        if taken or not credentials:
            return None
        renewed = await within(seconds, self._with_others(credentials, call))
        return None if renewed is LATE or renewed is None else self._with_added(renewed, attempts.added)

    def _with_added(self, call: Call, added: Mapping[str, str | bytes]) -> Call:
        """Return the call with the metadata that the hooks add."""
        if not added:
            return call
        try:
            call = replace(call, metadata=merged(call.metadata, added, self.model_key))
        except InputError as error:
            logger.warning("a hook's metadata was not sent: %s", error)
        self.take_secrets(call)
        return call

    async def _with_others(self, credentials: tuple[Credentials, ...], call: Call) -> Call | None:
        fresh = await self.record(call.path, idempotent=call.idempotent)
        # Other functions may return new metadata at every call, with which the server would refuse the call again.
        own = await resolve_metadata(credentials, fetch=self._fetch)
        if set(own) <= set(call.metadata):
            return None
        # The id stays, though a function may make another one at every call.
        metadata = tuple(pair for pair in fresh.metadata if pair[0] != REQUEST_ID)
        id = () if call.sends_id else ((REQUEST_ID, call.request_id),)
        return replace(call, metadata=(*metadata, *id))

    # -- attempts -----------------------------------------------------------------------------------------------------

    def unary(self, descriptor: RemoteRPCDescriptor, body: Body) -> Coroutine[Any, Any, Any]:
        """Make a call of one answer, and return the answer; see `send`."""
        if self.responds:
            return self._respond(descriptor, body)
        return self.send(descriptor.path, body, descriptor=descriptor)

    async def _respond(self, descriptor: RemoteRPCDescriptor, body: Body) -> Response[Any]:
        response = ResponseMaker()
        return response.made(await self.send(descriptor.path, body, descriptor=descriptor, response=response))

    async def send(
        self,
        path: str,
        body: Body | _MakeAttempt,
        *,
        idempotent: bool = True,
        max_size: int | None = None,
        pages: bool = False,
        descriptor: RemoteRPCDescriptor | None = None,
        task: str = "",
        response: ResponseMaker | None = None,
    ) -> Any:
        """Make a call of one answer; again where that is allowed.

        Args:
            path, idempotent, max_size, pages: see `Call`.
            body: the request, or a function that makes an attempt.
            descriptor: decodes the answer; without it the bytes are returned.
            task: the task's class, for hooks; default that of the descriptor.
            response: takes the circumstances of the answer.

        Raises:
            RemoteCallError: the call failed.
        """
        attempts = call = None
        begun, server = monotonic(), self.connections
        try:
            # Looked up here too: a coroutine costs more than that.
            call = (self._calls.get(path) if idempotent else None) or await self.record(path, idempotent=idempotent)
            options, is_logged = self.options, logger.isEnabledFor(logging.DEBUG)
            middleware, hooks = options.middleware, options.hooks or everywhere
            # Over gRPC hooks learn nothing from the answer's metadata, for which grpc.aio needs a task.
            wants_answer = response is not None or middleware or (hooks and call.protocol == "http")
            call = call.numbered(Answer() if wants_answer else None)
            if max_size is not None or pages:
                call = replace(call, max_size=max_size, pages=pages)
            if self.balancer is not None:
                server = self._pick()
            server.budget.calls += 1
            # A call that succeeds at once, and that nobody observes, needs no record of its attempts.
            if hooks or is_logged or middleware or response is not None:
                attempts = self._attempts(call, server, begun)
                attempts.input = body
                self._start(attempts, descriptor.task if descriptor else task)
                call = attempts.call
            while True:
                may_probe = self.balancer is not None and isinstance(body, bytes)
                attempt = probe(call, server, self.options) if may_probe else call
                try:
                    if middleware:
                        data = await self._attempt_through(attempts, attempt, body, server)
                    else:
                        data = await self._attempt(attempt, body, server)
                    break
                except RemoteCallError as error:
                    attempts = attempts or self._attempts(call, server, begun)
                    if not await self.next_attempt(attempts, error, body, probing=attempt is not call):
                        raise
                    call, server = attempts.call, attempts.server
            if server.health.ailing:
                server.health.succeeded()
            if attempts is not None:
                attempts.responses = 1
                self.notify_hooks(attempts, attempts.ended(None, monotonic()))
                if response is not None:
                    response.take(attempts.circumstances, monotonic() - begun)
            if descriptor is None:
                return data
            return self.decode(descriptor, data) if len(data) < LARGE else await self.decode_large(descriptor, data)
        except BaseException as error:
            if attempts is not None:
                self.notify_hooks(attempts, attempts.ended(error, monotonic()))
            if call is not None and isinstance(error, RemoteCallError) and error.request_id is None:
                (attempts or self._attempts(call, server, begun)).complete(error, monotonic())
            call = attempt = _NO_CALL
            attempts, body, data = None, b"", b""
            clear_frames(error)
            raise

    async def _attempt_through(
        self, attempts: Attempts | None, call: Call, body: Body | _MakeAttempt, server: ConnectionManager
    ) -> bytes:
        data = b""

        async def send(changed: Call) -> None:
            nonlocal data
            self.take_secrets(changed)
            data = await self._attempt(changed, body, server)

        assert attempts is not None
        await through(self.options.middleware, attempts, call, send)
        return data

    async def _attempt(self, call: Call, body: Body | _MakeAttempt, server: ConnectionManager) -> bytes:
        health, place = server.health, server.pending.enter()
        health.in_flight += 1
        try:
            if place is None:
                place, call = await wait_for_turn(server, call)
            lease = server.lease()
            try:
                if callable(body):
                    return await body(lease.transport, call, place.answered)
                return await lease.transport.unary(call, body, place.answered)
            except RemoteCallError as error:
                if error.shed:
                    place.shed()
                raise
            finally:
                lease.release()
        finally:
            health.in_flight -= 1
            if place is not None:
                place.free()

    async def next_attempt(
        self, attempts: Attempts, error: RemoteCallError, body: object, *, probing: bool = False
    ) -> bool:
        """Carry out what `attempts` decides about a failure; return whether its next attempt begins now."""
        taken, fresh = getattr(body, "taken", False), None
        if attempts.should_renew(error):
            try:
                fresh = await self._renewed(attempts, attempts.time_left(monotonic()), taken)
            except BaseException:
                self.notify_hooks(attempts, attempts.failed(error, monotonic(), taken=True))
                raise
        event = attempts.failed(error, monotonic(), taken=taken, probing=probing, fresh=fresh)
        self.notify_hooks(attempts, event)
        if event.wait is None:
            self.check_interface(error)
            return False
        if attempts.call.answer is not None:
            attempts.call.answer.reset()
        await asyncio.sleep(event.wait)
        attempts.begin(monotonic())
        return True

    def start_attempts(self, call: Call, begun: float, task: str, input: Any) -> Attempts:
        """Begin the attempts of a stream."""
        server = self._pick()
        server.budget.calls += 1
        attempts = self._attempts(call.numbered(Answer()), server, begun)
        attempts.input = input
        if self.options.hooks or everywhere or logger.isEnabledFor(logging.DEBUG):
            attempts.context = copy_context()
            self._start(attempts, task, streams=True)
        return attempts

    def _start(self, attempts: Attempts, task: str, streams: bool = False) -> None:
        """Tell the hooks that a call starts, and add their metadata."""
        hooks = with_everywhere(self.options.hooks)
        if not hooks:
            return
        started = attempts.start(hooks, task, streams)
        self.notify_hooks(attempts, started)
        add = partial(hook_metadata, hooks, started)
        attempts.added = add() if attempts.context is None else attempts.context.run(add)
        attempts.call = self._with_added(attempts.call, attempts.added)

    def _attempts(self, call: Call, server: ConnectionManager, begun: float) -> Attempts:
        return Attempts(call, server, self.options, begun, self.model, self.balancer)

    def _pick(self) -> ConnectionManager:
        return self.connections if self.balancer is None else self.balancer.pick(monotonic())

    def notify_hooks(self, attempts: Attempts, event: Event | None) -> None:
        """Call the hooks with an event, if there is one, and log it."""
        if event is None:
            return
        log(event)
        if not attempts.hooks:
            return
        if attempts.context is None:
            call_hooks(attempts.hooks, event)
        else:
            attempts.context.run(call_hooks, attempts.hooks, event)

    # -- kinds of calls -----------------------------------------------------------------------------------------------

    async def send_once(self, descriptor: RemoteRPCDescriptor, body: bytes, model_name: str | None = None) -> Any:
        """Make a call that must not be sent twice, such as the start of a job, and return the answer as a dict.

        Raises:
            OutcomeUnknownError: it was lost on the way, or its answer cannot be read, and it may have been done.
        """
        with self._outcome(descriptor.rpc_name, descriptor.path, model_name):
            data = await self.send(descriptor.path, body, idempotent=False, task=descriptor.task)
            answer = self.replace(output="dict").decode(descriptor, data)
            if not isinstance(answer, dict):
                raise InvalidResponseError(f"the answer is not an object but a {type_name(answer)}")
            return answer

    async def send_bytes_once(
        self, name: str, path: str, body: bytes, model_name: str | None = None, *, pages: bool = False
    ) -> bytes:
        """As `send_once`, with the method's name and path, and the answer as it came."""
        with self._outcome(name, path, model_name):
            data: bytes = await self.send(path, body, idempotent=False, pages=pages)
            return data

    @contextmanager
    def _outcome(self, name: str, path: str, model_name: str | None) -> Iterator[None]:
        """Raise an OutcomeUnknownError instead of errors after which a call may have been executed."""
        try:
            yield
        except (RemoteCallError, ClosedError) as error:
            if is_outcome_known(error):
                raise
            hint = f", for the model {model_name!r}" if model_name else ""
            message = f"{name} was sent once, and whether the server did it is unknown{hint}: {error}"
            unknown = OutcomeUnknownError(message, method=path.removeprefix("/"), target=self.target, model=self.model)
            unknown.model_name = model_name
            for name in ("request_id", "attempts", "seconds", "metadata", "trailing_metadata"):
                if name in vars(error):
                    setattr(unknown, name, vars(error)[name])
            raise unknown from error

    async def exchange(self, path: str, messages: Sequence[bytes], max_size: int) -> list[bytes]:
        """Call a bidirectional method with one answer per message; again, from the start, where that is allowed.

        Returns:
            The answers, fewer than the messages where they exceed `max_size` bytes or the server ends the call early.

        Raises:
            RemoteCallError: the call failed.
        """
        answers: list[bytes] = []

        async def make(transport: Transport, call: Call, answered: Answered) -> bytes:
            answers.clear()
            left = max_size
            async with aclosing(transport.stream(call, EncodedMessages(messages))) as stream:
                while len(answers) < len(messages) and left >= 0 and (data := await stream.read()) is not None:
                    answered()  # not before: the call keeps its place until the server answers
                    left -= len(data)
                    answers.append(data)
            return b""

        await self.send(path, make)
        return answers

    # -- answers ------------------------------------------------------------------------------------------------------

    def decode(self, descriptor: RemoteRPCDescriptor, data: bytes) -> Any:
        """Return an answer in the form that the options ask for."""
        try:
            return descriptor.codec.decode(data, self.options.output)
        except RemoteCallError as error:
            self._complete(error, descriptor)
            raise

    async def decode_large(self, descriptor: RemoteRPCDescriptor, data: bytes) -> Any:
        """As `decode`, in another thread: it would hold up the event loop."""
        try:
            return await self.connections.worker.run(descriptor.codec.decode, data, self.options.output)
        except RemoteCallError as error:
            self._complete(error, descriptor)
            raise

    def _complete(self, error: RemoteCallError, descriptor: RemoteRPCDescriptor) -> None:
        """Add the call to an error of decoding, and take the call's metadata out of it."""
        self.redact(error)
        error.method, error.target, error.model = descriptor.path.removeprefix("/"), self.target, self.model
        self.check_interface(error)

    def take_secrets(self, call: Call) -> None:
        """Note the newest call, whose metadata `redact` takes out of errors."""
        self._newest[0] = call

    def occurs_in(self, answers: Iterable[bytes]) -> bool:
        """Return whether a server repeats the metadata of the newest call, which errors made later would show."""
        secrets, data = self._newest[0].secrets, b"\n".join(answers)
        return masked(data, secrets) != data

    def redact(self, error: RemoteClientError) -> None:
        """Take the metadata of the newest call out of an error that may repeat it."""
        secrets = self._newest[0].secrets
        error.args = tuple(redacted(list(error.args), secrets))
        if isinstance(error, RemoteCallError):
            error.details = redacted(error.details, secrets)
        if isinstance(error, SchemaUnavailableError):
            error.reason = redacted(error.reason, secrets)
        if error.__cause__ is not None:
            with_cause(error, error.__cause__, secrets)

    def check_interface(self, error: RemoteCallError) -> None:
        """Mark the schema as stale if the error suggests that the server was redeployed."""
        if self.changed is not None and (hint := self.changed(error)):
            error.details += f"; {hint}"


async def wait_for_turn(server: ConnectionManager, call: Call) -> tuple[Place, Call]:
    """Wait until fewer calls wait for the server; return the place, and the call with the time that is left.

    Raises:
        DeadlineExceededError: its turn did not come within the call's time. Nothing was sent.
    """
    begun, limit = monotonic(), shortest(call)
    place = await server.turn(limit)
    if place is None:
        message = f"no answer within {lasting(limit)}: too many calls wait for the server (max_pending)"
        raise _unsent(message, call.path, server)
    return place, shortened(call, call, monotonic() - begun)


def _unsent(message: str, path: str, server: ConnectionManager, model: str | None = None) -> DeadlineExceededError:
    failure = DeadlineExceededError(message, method=path.removeprefix("/"), target=server.target, model=model)
    failure.outcome_known = True
    return failure
