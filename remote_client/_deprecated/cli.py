"""Deprecated."""

import sys
import warnings

from remote_client._deprecated import moved

__getattr__ = moved("remote_client.cli", main="remote_client._cli.main.main")

if __name__ == "__main__":
    from remote_client._cli.main import main

    warnings.warn(
        "`python -m remote_client.cli` is deprecated: use `python -m remote_client`", DeprecationWarning, stacklevel=1
    )
    sys.exit(main())
