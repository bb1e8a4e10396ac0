"""The package as a whole: light to import, and without caikit."""

import importlib.metadata
import importlib.util
import subprocess
import sys

import pytest

import remote_client

from ..dist import ROOT, newest_release


def test_import_is_light() -> None:
    script = "import sys, remote_client; print(' '.join(sorted({name.partition('.')[0] for name in sys.modules})))"
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()
    assert "remote_client" in loaded
    assert not {"grpc", "google", "httpx", "aiohttp", "numpy", "pydantic", "anyio"} & set(loaded)


def test_google_protobuf_is_not_loaded_by_settings() -> None:
    script = "import sys; from remote_client import RemoteClient, ConnectionInfo; print('grpc' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, text=True).stdout == "False\n"


def test_maps_load_no_library_of_tables_or_engines() -> None:
    script = "import sys, remote_client.bulk, remote_client.ray, remote_client.spark; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()
    assert "remote_client.sync.bulk" in loaded
    assert not {"narwhals", "pandas", "polars", "pyarrow", "ray", "dask", "pyspark", "rich", "tqdm"} & set(loaded)


def test_caikit_is_not_here() -> None:
    assert importlib.util.find_spec("caikit") is None


def test_the_client_inside_caikit_names_its_extra() -> None:
    with pytest.raises(ImportError, match=r"^remote_client\.caikit needs caikit: pip install remote-client\[caikit\]$"):
        importlib.import_module("remote_client.caikit")


def test_public_names() -> None:
    assert set(remote_client.__all__) == set(dir(remote_client))
    for name in remote_client.__all__:
        value = getattr(remote_client, name)
        assert value is getattr(remote_client, name)
        if isinstance(value, type):
            assert value.__doc__, f"{name} has no docstring"
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        remote_client.Nothing


def test_version() -> None:
    assert importlib.metadata.version("remote-client") == remote_client.__version__
    assert newest_release((ROOT / "CHANGELOG.md").read_text()) == remote_client.__version__
