"""The site that `make docs` builds: without a warning, with nothing loaded from elsewhere."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import zlib
from pathlib import Path

import lunr.index
import pytest
from lunr import lunr

from ..support.readme import DOCS
from .test_reference import NAMES, OWN_PAGES

SEARCHES = {
    "RemoteClient": "reference/client",
    "timeout": "retries-and-deadlines",
    "retry": "retries-and-deadlines",
    "bearer token": "tls-and-tokens",
    "mutual TLS": "tls-and-tokens",
    "proxy": "forward-proxies",
    "nginx": "proxies",
    "ModelMesh": "modelmesh",
    "load balancing": "several-servers",
    "OpenTelemetry": "tracing",
    "fake runtime": "testing",
    "FastAPI": "tutorial",
    "server-sent events": "streams",
    "notebook": "notebooks",
    "numpy": "calls",
    "pandas": "tables",
    "Spark": "many-rows",
    "fork": "worker-pools",
    "train": "long-work",
    "cancel job": "long-work",
    "command line": "command-line",
    "reflection UNIMPLEMENTED": "troubleshooting",
    "ForkedError": "reference/errors",
    "environment variable": "settings",
    "gzip": "settings",
    "stubs": "schemas",
    "grpcio engine": "engines",
    "memory": "speed",
    "missing required argument": "troubleshooting",
}
"""What somebody may type, and a page that must be among the first five pages."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built site: links, anchors and names of the reference are checked on the way."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    built = subprocess.run(
        command, cwd=DOCS.parent, capture_output=True, text=True, env=os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    )
    assert built.returncode == 0, built.stderr
    return folder


def test_nothing_is_loaded_from_elsewhere(site: Path) -> None:
    loaded = re.compile(r"""<(?:script|img|link|iframe|source)\b[^>]*?(?:src|href)=["']?((?:https?:)?//[^"' >]+)""")
    found = {match for page in site.rglob("*.html") for match in loaded.findall(page.read_text())}
    assert not found


def test_the_inventory_has_every_public_name(site: Path) -> None:
    """The reference renders an entry for each, or a page; other projects' sites link to it by this file."""
    packed = (site / "objects.inv").read_bytes().split(b"\n", 4)[4]
    listed = {line.split()[0] for line in zlib.decompress(packed).decode().splitlines()}
    public = {f"{module}.{name}" for module, names in NAMES.items() for name in names}
    assert public - listed == OWN_PAGES.keys()


def test_the_prose_of_docstrings_links_names_and_pages(site: Path) -> None:
    page = (site / "reference" / "client" / "index.html").read_text()
    links = [
        r'<a href="../../targets/">Targets</a> has all forms',
        r'<a [^>]*href="../settings/#remote_client.settings.ConnectionInfo"><code>ConnectionInfo</code></a>; or a list',
        r'raise a <a [^>]*href="../errors/#remote_client.errors.ClosedError"><code>ClosedError</code></a>',
    ]
    assert [link for link in links if not re.search(link, page)] == []


def test_signatures_have_no_private_names(site: Path) -> None:
    pages = (page.read_text() for page in (site / "reference").rglob("*.html"))
    signatures = [code for page in pages for code in re.findall(r"doc-signature.*?</pre>", page, re.DOTALL)]
    texts = [re.sub(r"<[^>]+>", "", code) for code in signatures]
    assert len(texts) > 100
    assert [text for text in texts if re.search(r"\bAnnotated\b|\b_[A-Za-z]", text)] == []


@pytest.fixture(scope="module")
def index(site: Path) -> lunr.index.Index:
    """The search as the site's theme makes it: titles count most, and pages have boosts."""
    documents = json.loads((site / "search" / "search_index.json").read_text())["docs"]
    boosted = [(document, {"boost": document.get("boost", 1)}) for document in documents]
    return lunr("location", [{"field_name": "title", "boost": 1000}, {"field_name": "text"}], boosted)


@pytest.mark.parametrize(("typed", "page"), SEARCHES.items())
def test_the_search_finds_the_page(typed: str, page: str, index: lunr.index.Index) -> None:
    found = [result["ref"].partition("#")[0].rstrip("/") for result in index.search(typed)]
    assert page in list(dict.fromkeys(found))[:5]
