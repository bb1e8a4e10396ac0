"""`remote-client deploy`: sends a model's folder to a runtime."""

from __future__ import annotations

from typing import Literal

from .output import write_json, write_line
from .parameters import AllOptions, FileName
from .progress import sending


async def deploy(
    name: str,
    folder: FileName,
    /,
    *,
    links: Literal["follow"] | None = None,
    options: AllOptions,
) -> int:
    """Deploy a model's folder on a runtime, which loads it at its first call. Prints the model's name.

    The whole folder is sent, with hidden files. It is sent once: if the connection breaks, `models` tells whether the
    runtime has the model.

    Args:
        name: The model's name on the runtime.
        folder: The folder with its config.yml.
        links: Send the targets of links that lead out of the folder, as those of a Hugging Face cache do; without it
            they are refused.
        options: Name the runtime. With --json all that it says about the model is printed.
    """
    async with options.client() as client:
        with sending(f"deploying {name}"):
            info = await client.deploy_model(name, folder, links=links)
    if options.json:
        write_json(info)
    else:
        write_line(name)
    return 0
