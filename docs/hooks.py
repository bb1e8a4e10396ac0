"""What MkDocs does beside its plugins: pages made of the project's own files, and links out of `docs/`."""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parent.parent
PAGES = {
    "README.md": "index.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security-policy.md",
}
"""Files of the project's top that are pages of the site, with their names there."""
SUMMARIES = ("index.md", "changelog.md")
"""Pages that the search leaves out, as they name what other pages explain."""
BOOSTS = {
    "contributing.md": 0.05,
    "reference": 0.3,
    "proxies.md": 0.3,
    "forward-proxies.md": 0.5,
    "settings.md": 0.8,
}
"""How far pages stand back in the search: a guide comes before a page that has the words of all subjects."""
PICTURE = re.compile(r"(!\[[^\]]*\]\([^)\s]+)-light[.]svg\)")
"""A picture of two forms; pages name the light one, and the site shows the one of the reader's colours."""
LINK = re.compile(r"(?<=\]\()([^)\s#:]+)(#[^)\s]*)?(?=\))")

OUTSIDE = "?outside"
"""Marks a link to a file that is no page of the site."""
OUTSIDE_LINK = re.compile(r"\[([^\]]+)\]\([^)]*\?outside(?:#[^)]*)?\)")


def on_files(files: Files, config: Any, **_: Any) -> Files:
    """Add the pages that are files of the project's top."""
    for name, page in PAGES.items():
        files.append(File.generated(config, page, content=(ROOT / name).read_text()))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Set a page's place in menus and search, and point its links and pictures at where they are in the site.

    A file that is no page is named, without a link.
    """
    if page.file.src_uri == "index.md":
        page.meta["hide"] = ["navigation"]  # a menu of one entry
    if page.file.src_uri in SUMMARIES:
        page.meta["search"] = {"exclude": True}
    page.meta.setdefault("search", {"boost": BOOSTS.get(page.file.src_uri.split("/")[0], 1)})
    source = {page: name for name, page in PAGES.items()}.get(page.file.src_uri, f"docs/{page.file.src_uri}")
    folder = posixpath.dirname(source)
    here = posixpath.dirname(page.file.src_uri)

    def moved(match: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join(folder, match[1]))
        in_site = PAGES.get(target) or (target.removeprefix("docs/") if target.startswith("docs/") else None)
        if in_site is None and (ROOT / target).exists():
            in_site = f"{target}{OUTSIDE}"
        return (posixpath.relpath(in_site, here or ".") if in_site else match[1]) + (match[2] or "")

    markdown = OUTSIDE_LINK.sub(r"\1", LINK.sub(moved, markdown))
    markdown = PICTURE.sub(r"\1-light.svg#only-light) \1-dark.svg#only-dark)", markdown)
    return markdown.replace('="docs/pictures/', '="pictures/')  # the README's, in HTML: one for each colour scheme
