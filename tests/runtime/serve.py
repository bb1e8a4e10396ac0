"""Runs a real caikit runtime until its standard input closes; started by `runtime.py`, in the runtime's environment.

Usage: python serve.py SPEC, where SPEC is a JSON object: `library`, `models` (a folder name -> module id mapping),
`grpc_port`, `http_port`, optional `grpc_options`, `http_config`, `max_concurrent`, `unix_socket`,
`tls` (`server: {key, cert}`, `client: {cert}`), `retention` (how long jobs that ended are known, such as `1s`),
`model_management`, `workdir`, `wait_for_loads` (false: it lists models that it has not loaded), `also` (modules to
import that the library does not).
Standard input is a pipe from the parent: when the parent ends, however it ends, the runtime does too.
"""

import importlib
import json
import os
import sys
import threading
from pathlib import Path

import caikit
import caikit.config


def main() -> None:
    spec = json.loads(sys.argv[1])
    models = Path(spec["workdir"], "models")
    for name, module_id in spec["models"].items():
        models.joinpath(name).mkdir(parents=True, exist_ok=True)
        models.joinpath(name, "config.yml").write_text(f"module_id: {module_id}\n")

    def end_with_the_parent() -> None:
        sys.stdin.buffer.read()
        os._exit(0)

    threading.Thread(target=end_with_the_parent, daemon=True).start()
    caikit.config.configure(
        config_dict={
            "merge_strategy": "merge",
            "log": {"level": "warning"},
            "model_management": {
                kind: {"default": {"config": {"retention_duration": spec.get("retention", "1d")}}}
                for kind in ("trainers", "job_predictors")
            }
            | spec.get("model_management", {}),
            "runtime": {
                "library": spec["library"],
                "local_models_dir": str(models),
                "lazy_load_local_models": True,
                "wait_for_initial_model_loads": spec.get("wait_for_loads", True),
                "grpc": {
                    "maximum_concurrent_rpcs": spec.get("max_concurrent"),
                    "port": spec["grpc_port"],
                    "unix_socket_path": spec.get("unix_socket", ""),
                    "options": spec.get("grpc_options", {}),
                },
                "http": {
                    "enabled": True,
                    "port": spec["http_port"],
                    "server_config": spec.get("http_config", {}),
                },
                "metrics": {"enabled": False},
                "tls": spec.get("tls", {}),
                "training": {"output_dir": str(models), "save_with_id": False},
            },
        }
    )
    import alog

    alog.configure(default_level="warning")
    for name in spec.get("also", []):
        importlib.import_module(name)
    from caikit.runtime.__main__ import main as serve

    try:
        serve()
    except SystemExit:  # the HTTP port is taken, say; gRPC's threads would keep the process
        os._exit(1)


if __name__ == "__main__":
    main()
