"""Starts a runtime and a gateway to it on free ports, and calls a model through the gateway, over gRPC and HTTP."""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from remote_client.errors import NotFoundError
from remote_client.sync import RemoteClient

HERE = Path(__file__).parent


def free_port() -> int:
    """Return a port on which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("", 0))
        return int(probe.getsockname()[1])


@contextmanager
def started(config: str, models: Path, **settings: str) -> Iterator[tuple[int, int]]:
    """Run caikit's runtime with a file of settings. Yields its gRPC and its HTTP port."""
    port, http_port = free_port(), free_port()
    environment = {  # caikit's names: a setting's path in capitals
        "CONFIG_FILES": str(HERE / config),
        "RUNTIME_GRPC_PORT": str(port),
        "RUNTIME_HTTP_PORT": str(http_port),
        "RUNTIME_LOCAL_MODELS_DIR": str(models),
        "PYTHONPATH": os.pathsep.join([str(HERE), os.environ.get("PYTHONPATH", "")]),
        "LOG_LEVEL": "off",
    }
    command = [sys.executable, "-m", "caikit.runtime"]
    process = subprocess.Popen(command, env=os.environ | environment | settings, stdout=subprocess.DEVNULL)
    try:
        wait_until_healthy(process, http_port)
        yield port, http_port
    finally:
        process.kill()
        process.wait()


def wait_until_healthy(process: "subprocess.Popen[bytes]", http_port: int) -> None:
    """Return when the runtime serves."""
    while process.poll() is None:
        try:
            urllib.request.urlopen(f"http://localhost:{http_port}/health", timeout=5).close()
            return
        except OSError:
            time.sleep(0.1)
    raise SystemExit("the runtime ended while it started; see above")


def call(target: str) -> None:
    """Call the model through the gateway."""
    with RemoteClient(target) as client:
        schema = client.describe()
    # A gateway lists a remote model after its first call: with a schema the client trusts the model's name.
    with RemoteClient(target, schema=schema) as client:
        model = client.model("hello", task="GreetTask")
        print(model.run("Ada").text)
        print([item.text for item in model.run_stream_out("Ada", count=2)])
        job = model.start_job("Grace")
        job.wait()
        print(job.result().text, "(a job)")
        training = model.train(word="Good morning")
        training.wait()
        print(client.model(training.model_name, task="GreetTask").run("Ada").text, "(trained through the gateway)")
        try:
            client.model("nobody", task="GreetTask").run("Ada")
        except NotFoundError as error:
            print(error.status)


def main() -> None:
    """Start both, and call."""
    with tempfile.TemporaryDirectory() as folder:
        models, no_models = Path(folder, "models"), Path(folder, "no-models")
        shutil.copytree(HERE / "models", models)
        no_models.mkdir()
        with started("runtime.yml", models, RUNTIME_TRAINING_OUTPUT_DIR=str(models)) as (behind, _):
            connection = {
                f"MODEL_MANAGEMENT_{part}_DEFAULT_CONFIG_CONNECTION_PORT": str(behind)
                for part in ("FINDERS", "TRAINERS")
            }
            with started("config.yml", no_models, **connection) as (port, http_port):
                for target in (f"localhost:{port}", f"http://localhost:{http_port}"):
                    print(f"-- {target.partition('localhost')[0] or 'grpc://'}")
                    call(target)


if __name__ == "__main__":
    main()
