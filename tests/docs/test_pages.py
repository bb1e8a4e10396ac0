"""The pages of `docs/` without a test of their own: their examples run in order, and print what the page says."""

from __future__ import annotations

from pathlib import Path

import pytest

from ..support.readme import DOCS
from ..support.runtime import Runtime
from .following import follow

TESTED = {
    "coming-from-caikit.md": "tests/caikit/test_page.py",
    "declared-modules.md": "tests/docs/test_declared_modules.py",
    "forward-proxies.md": "tests/docs/test_forward_proxies.py",
    "many-rows.md": "tests/live/test_many_rows_page.py",
    "modelmesh.md": "tests/docs/test_modelmesh.py",
    "raw-calls.md": "tests/live/test_readiness_pages.py",
    "reference/auth.md": "tests/docs/test_auth_reference.py",
    "reference/caikit.md": "tests/caikit/test_reference_page.py",
    "reference/engines.md": "tests/engines/test_page.py",
    "schemas.md": "tests/live/test_schemas_page.py",
    "settings.md": "tests/live/test_settings_page.py",
    "several-servers.md": "tests/docs/test_several_servers.py",
    "testing.md": "tests/testing/test_recipes.py",
    "tls-and-tokens.md": "tests/docs/test_tls_and_tokens.py",
    "tracing.md": "tests/live/test_tracing_page.py",
    "tutorial.md": "tests/docs/test_tutorial.py",
    "worker-pools.md": "tests/docs/test_worker_pools.py",
}
"""Pages whose examples need more than a runtime, or whose output is compared piece by piece."""
PAGES = [str(page.relative_to(DOCS)) for page in sorted(DOCS.rglob("*.md"))]


@pytest.mark.parametrize("page", [page for page in PAGES if page not in TESTED])
async def test_the_examples_print_what_the_page_says(
    page: str, runtime: Runtime, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "0")  # tables are not cut to the width of whoever runs the tests
    await follow(DOCS / page, runtime, capfd)


@pytest.mark.parametrize("page", TESTED)
def test_a_page_with_a_test_of_its_own_is_read_there(page: str) -> None:
    assert page in (DOCS.parent / TESTED[page]).read_text()
