"""`remote-client undeploy`: removes a model from a runtime."""

from __future__ import annotations

from .output import write_json, write_line
from .parameters import AllOptions, Model
from .progress import sending


async def undeploy(name: Model, /, *, options: AllOptions) -> int:
    """Remove a model from a runtime. Prints the model's name.

    Args:
        name: The model's name.
        options: Name the runtime.
    """
    async with options.client() as client:
        with sending(f"removing {name}"):
            await client.undeploy_model(name)
    if options.json:
        write_json({"name": name})
    else:
        write_line(name)
    return 0
