"""Files written of odd schemas: they import, do nothing, and declare what the server has."""

from __future__ import annotations

from pathlib import Path

import pytest

from remote_client.stubs import write
from tests.support.odd_schemas import SCHEMAS, Schema
from tests.support.stubs import check_declarations, check_only_defines, imported


@pytest.mark.parametrize("blocking", [False, True], ids=["asyncio", "blocking"])
@pytest.mark.parametrize("schema", SCHEMAS.values(), ids=SCHEMAS)
def test_a_file_of_an_odd_schema(
    schema: Schema, blocking: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    description = schema.describe()
    text = write(description, "a\nserver", blocking=blocking)
    check_only_defines(text)
    with imported(text, tmp_path) as module:
        check_declarations(module, description, schema.protocol)
    assert capsys.readouterr() == ("", "")
    assert write(description, "a\nserver", blocking=blocking) == text
