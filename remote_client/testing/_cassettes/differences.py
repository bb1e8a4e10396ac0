"""The message about a call that is not in a cassette: the nearest one that is, and how its arguments differ."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from ..._text.cleaning import clean, listed, short_repr
from ..._text.closest import closest
from .format import RecordedCall
from .matching import Playing, Shelf

_LIMIT = 1500
"""Characters of a message: over gRPC it is part of the trailers, which clients limit to 8 KiB."""
_COMPARED = 200
"""Recorded calls that are compared with a call."""
_SHOWN = 5
"""Differences that are told."""
_NOTHING = object()


def not_recorded(shelf: Shelf, playing: Playing) -> str:
    """Return the message about a call that is not recorded."""
    what = f"the cassette has no such call: {playing.method}" + (f" for {playing.model!r}" if playing.model else "")
    return clean(f"{what}; {_nearest(shelf, playing)}. Record the cassette anew if the call is right", _LIMIT)


def _nearest(shelf: Shelf, playing: Playing) -> str:
    if not shelf.calls:
        return "it has no call at all"
    same = [call for call in shelf.calls if call.method.partition("?")[0] == playing.method.partition("?")[0]]
    if not same:
        methods = {call.method for call in shelf.calls}
        near = closest(playing.method, methods)
        return f"the nearest is {near}" if near else f"it has {listed(sorted(methods), len(methods))}"
    of_model = [call for call in same if call.model(shelf.model_key) == playing.model]
    if not of_model:
        models = {call.model(shelf.model_key) for call in same}
        return f"it is recorded for {listed(sorted(map(repr, models)), len(models))}"
    told = min((_differences(shelf, playing, call) for call in of_model[:_COMPARED]), key=_distance)
    return "the nearest differs: " + "; ".join(told[:_SHOWN]) + (", ..." if len(told) > _SHOWN else "")


def _distance(differences: list[str]) -> tuple[int, int]:
    return len(differences), sum(map(len, differences))


def _differences(shelf: Shelf, playing: Playing, call: RecordedCall) -> list[str]:
    """Return how a call differs from a recorded one of the same method."""
    if call.method != playing.method:
        return [f"recorded was {call.method}"]
    found = list[str]()
    for number, (old, new) in enumerate(zip(call.requests, playing.received, strict=False)):
        place = f"item {number}: " if len(call.requests) > 1 or len(playing.received) > 1 else ""
        if shelf.value(call.method, old) != shelf.value(call.method, new):
            found += [place + each for each in _of_messages(shelf, playing.method, old, new)]
    if len(call.requests) != len(playing.received):
        found.append(f"recorded were {len(call.requests)} items, this call has sent {len(playing.received)}")
    return found or ["its answers"]


def _of_messages(shelf: Shelf, method: str, old: bytes, new: bytes) -> Iterable[str]:
    was, now = (shelf.messages.shown(method, data, False) for data in (old, new))
    if was is None or now is None:
        return [f"its message has {len(old)} bytes, this call's {len(new)}"]
    return list(_of_values(was, now, "")) or ["its message's bytes"]


def _of_values(was: Any, now: Any, path: str) -> Iterator[str]:
    """Yield how two JSON values differ."""
    if isinstance(was, dict) and isinstance(now, dict):
        for name in dict.fromkeys([*was, *now]):
            inner = f"{path}.{name}" if path else str(name)
            yield from _of_values(was.get(name, _NOTHING), now.get(name, _NOTHING), inner)
    elif isinstance(was, list) and isinstance(now, list) and len(was) == len(now):
        for number, pair in enumerate(zip(was, now, strict=True)):
            yield from _of_values(*pair, f"{path}[{number}]")
    elif type(was) is not type(now) or was != now:
        yield f"{path or 'the value'} was {_short(was)}, is {_short(now)}"


def _short(value: Any) -> str:
    return "missing" if value is _NOTHING else short_repr(value)
