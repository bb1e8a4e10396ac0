"""Runs the tests of `tests/live` that are about calls against a fake runtime of the same library.

`DIFFERENT` tells where it differs. A test that passes although it is listed fails the run.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from remote_client._schema.declaration import declaration_of
from remote_client._schema.schema_file import SchemaFile, read_schema
from remote_client.declare import module
from remote_client.testing import FakeRuntime
from tests.live.conftest import client, gate, grpc_client, http_client, kind_of_client, protocol
from tests.support.other_mirror import OtherModule
from tests.support.runtime import dump_services
from tests.support.sample_mirror import MODULES, SampleModule

from .differences import DIFFERENT, NOT_RUN, QUICK

__all__ = ["client", "gate", "grpc_client", "http_client", "kind_of_client", "protocol"]


@dataclass
class Runtime:
    """The fake runtime with the attributes of `tests.support.runtime.Runtime`."""

    fake: FakeRuntime
    marker: str
    folder: Path

    @property
    def target(self) -> str:
        return self.fake.grpc

    @property
    def http_target(self) -> str:
        return self.fake.http

    @property
    def port(self) -> int:
        return int(self.target.rpartition(":")[2])

    @property
    def http_port(self) -> int:
        return int(self.http_target.rpartition(":")[2])

    @property
    def log(self) -> Path:
        """A file beside the folders of trained models, as they are now. The fake keeps them in memory."""
        for name, model in self.fake._dispatcher._models._models.items():
            if (trained := getattr(model.instance, "trained", None)) is not None:
                (self.folder / name).mkdir(exist_ok=True)
                (self.folder / name / "config.yml").write_text(
                    yaml.safe_dump({"id": name, "trained": trained}, sort_keys=False)
                )
        return self.folder / "log"


@pytest.fixture(scope="session")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runtime]:
    yield from _running({**MODULES}, SampleModule, "sample_lib", tmp_path_factory)


@pytest.fixture(scope="session")
def other_runtime(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runtime]:
    yield from _running({"foo": OtherModule}, OtherModule, "other_lib", tmp_path_factory)


@pytest.fixture(scope="session")
def schema_runtime(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runtime]:
    """A fake runtime of modules with the schema that caikit makes of the library."""
    folder = tmp_path_factory.mktemp("schema")
    schema = read_schema(dump_services("sample_lib", folder / "protos"), "grpc")
    assert isinstance(schema, SchemaFile)
    (folder / "sample_lib.binpb").write_bytes(schema.data)
    classes = {kind: _with_schema(kind, str(folder / "sample_lib.binpb")) for kind in MODULES.values()}
    models = {name: classes[kind] for name, kind in MODULES.items()}
    yield from _running(models, classes[SampleModule], "sample_lib", tmp_path_factory)


def _with_schema(kind: type, path: str) -> type:
    declared = declaration_of(kind)
    made = type(kind.__name__, (kind,), {"__module__": kind.__module__})
    return module(declared.id, declared.name, declared.version, task=declared.tasks[0], schema=path)(made)


def _running(models: dict[str, Any], marked: type, library: str, folders: pytest.TempPathFactory) -> Iterator[Runtime]:
    marker = f"identity-{uuid.uuid4().hex[:12]}"
    with FakeRuntime({**models, marker: marked}, library=library) as fake:
        yield Runtime(fake, marker, folders.mktemp(library))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.parent != Path(__file__).parent:
            continue
        name = item.nodeid.rpartition("tests/testing/suite/")[2]
        names = {name, name.partition("[")[0]}
        if names.isdisjoint(QUICK):
            item.add_marker(pytest.mark.slow)
        for known in names & DIFFERENT.keys():
            item.add_marker(pytest.mark.xfail(reason=DIFFERENT[known], strict=True))
        for known in names & NOT_RUN.keys():
            item.add_marker(pytest.mark.skip(reason=NOT_RUN[known]))
