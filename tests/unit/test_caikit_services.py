"""Without caikit nothing is made of it. With it: tests/live/test_caikit_classes.py."""

from __future__ import annotations

import sys

from remote_client._schema.declared.caikit_services import services_of


class Module:
    """A class as caikit's look."""

    MODULE_ID = "00110203-0405-0607-0809-0a0b02dd0e0f"
    TRAIN_SIGNATURE = None


def test_a_process_without_caikit_does_not_import_it() -> None:
    assert services_of(Module) is None
    assert not any(each.partition(".")[0] == "caikit" for each in sys.modules)
