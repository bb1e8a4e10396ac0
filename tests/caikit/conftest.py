"""The environment of these tests is the runtime's, which has caikit; `make test` runs them there.

caikit of this process is configured with the sample library, as an application or a gateway is.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import caikit.config

sys.path.insert(0, str(Path(__file__).parent.parent / "runtime"))
os.environ.setdefault("RUNTIME_PYTHON", sys.executable)
caikit.config.configure(
    config_dict={"merge_strategy": "merge", "log": {"level": "warning"}, "runtime": {"library": "sample_lib"}}
)
