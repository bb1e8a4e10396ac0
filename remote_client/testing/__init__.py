"""Runtimes for the tests of code that uses this client: `pip install 'remote-client[testing]'`."""

from ._calls import Call
from ._cassettes.record import Recorder, record
from ._cassettes.replay import Replay, replay
from ._runtime import FakeRuntime

__all__ = ["Call", "FakeRuntime", "Recorder", "Replay", "record", "replay"]
