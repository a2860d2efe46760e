"""The pages as a site: built strictly, each in the menu, no dead link, every public name explained and used."""

import ast
import json
import os
import re
import subprocess
import sys
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

import signoff
import signoff.testing

ROOT = Path(__file__).resolve().parents[3]
MENU = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
REFERENCE = (ROOT / "docs" / "reference.md").read_text(encoding="utf-8")
_BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@cache
def names_in_blocks() -> set[str]:
    """What the code of the pages names; to import it is not to use it. test_docs.py runs all of it."""
    pages = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
    code = (block for page in pages for block in _BLOCK.findall(page.read_text(encoding="utf-8")))
    parts = [part for block in code for part in ast.walk(ast.parse(block))]
    names = {part.id for part in parts if isinstance(part, ast.Name)}
    return names | {part.attr for part in parts if isinstance(part, ast.Attribute)}


class Links(HTMLParser):
    """Where a page of the site leads, and the places in it that others may lead to."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.links, self.places, self.loaded = list[str](), set[str](), list[str]()
        self.feed(page.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.places |= {given[name] for name in ("id", "name") if name in given}
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
        elif tag in ("script", "link", "img", "iframe") and given.get("rel", "") != "canonical":
            self.loaded.append(given.get("src") or given.get("href") or "")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The whole site, built as strictly as it can be."""
    pytest.importorskip("mkdocs", reason="the extra `docs` is not installed")
    pytest.importorskip("mkdocstrings", reason="the extra `docs` is not installed")
    folder = tmp_path_factory.mktemp("site")
    # Without a garbage collector: it would look through the trees of 400 modules again and again.
    mkdocs = "import gc, runpy; gc.disable(); runpy.run_module('mkdocs', run_name='__main__')"
    words = [sys.executable, "-c", mkdocs, "build", "--strict", "--site-dir", str(folder)]
    quiet = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(words, cwd=ROOT, env=quiet, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr
    return folder


def test_the_site_has_no_dead_link_loads_nothing_from_elsewhere_and_explains_every_public_name(site: Path) -> None:
    pages = {page: Links(page) for page in site.rglob("*.html") if page.name != "404.html"}
    dead = []
    for page, found in pages.items():
        for link in found.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            to = (page.parent / unquote(parts.path)).resolve() if parts.path else page
            known = to in pages and (not parts.fragment or unquote(parts.fragment) in pages[to].places)
            if not known and not (to.is_file() and not parts.fragment):
                dead.append(f"{page.relative_to(site)}: {link}")
    assert dead == []
    assert [url for found in pages.values() for url in found.loaded if urlsplit(url).netloc] == []
    explained = pages[site / "reference.html"].places
    public = [f"signoff.{name}" for name in signoff.__all__] + [
        f"signoff.testing.{name}" for name in vars(signoff.testing)["__all__"]
    ]
    assert [name for name in public if name not in explained] == []
    assert json.loads((site / "search" / "search_index.json").read_text())["docs"]


def test_every_page_stands_once_in_the_menu() -> None:
    listed = re.findall(r"^ +- (?:[^:\n]+: )?([\w/.-]+\.md)$", MENU.partition("\nnav:")[2], re.MULTILINE)
    docs = ROOT / "docs"
    pages = [path.relative_to(docs).as_posix() for path in docs.rglob("*.md")]
    of_root = ["CHANGELOG.md", "CODE_OF_CONDUCT.md", "CONTRIBUTING.md", "SECURITY.md"]
    assert sorted(listed) == sorted([*pages, *of_root])


def test_every_public_name_stands_in_the_reference_once() -> None:
    named = re.findall(r"^::: (signoff\.[\w.]+)$", REFERENCE, re.MULTILINE)
    public = [f"signoff.{name}" for name in signoff.__all__] + [
        f"signoff.testing.{name}" for name in vars(signoff.testing)["__all__"]
    ]
    assert len(named) == len(set(named))
    assert set(public) <= set(named)


def test_every_public_name_stands_in_a_block_that_runs() -> None:
    assert set(signoff.__all__) - names_in_blocks() == set()
