"""What is shipped with the page, and how much of it a browser loads."""

import gzip
import hashlib
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from signoff.desk.web.files import HERE, load_assets

LISTED = tomllib.loads((HERE / "vendor" / "third_party.toml").read_text(encoding="utf-8"))["files"]
MOST = 150_000
"""Bytes of a page with all that it loads."""


def test_what_others_wrote_is_shipped_byte_for_byte_as_it_is_listed() -> None:
    shipped = {path.name: path.read_bytes() for path in (HERE / "vendor").glob("*.min.*")}
    assert {name: hashlib.sha256(content).hexdigest() for name, content in shipped.items()} == {
        name: file["sha256"] for name, file in LISTED.items()
    }


@pytest.mark.parametrize("name", sorted(LISTED))
def test_each_says_where_it_comes_from_and_its_licence_is_shipped(name: str) -> None:
    assert LISTED[name].keys() == {"package", "version", "path", "licence", "sha256"}
    assert name in (HERE / "vendor" / "LICENSES.md").read_text(encoding="utf-8")
    assert LISTED[name]["path"].endswith(f"/{name}")


def test_a_page_loads_nothing_from_elsewhere_and_is_small(ann: Any, desk: Any) -> None:
    _, (asked, *_) = desk.asked("write bob")
    for path in ("/", f"/approvals/{asked.id}"):
        html = ann.get(path).text
        loaded = re.findall(r'(?:src|href)="([^"#]+\.(?:js|css|svg))"', html)
        assert len(loaded) == 7
        assert all(address.startswith("/files/") for address in loaded)
        assert len(html.encode()) + sum(len(ann.get(address).content) for address in loaded) < MOST


def test_a_file_is_kept_for_good_by_an_address_that_has_its_version(ann: Any) -> None:
    for name, asset in load_assets().items():
        found = ann.get(f"/files/{asset.version}/{name}")
        assert "immutable" in found.headers["cache-control"]
        assert gzip.decompress(asset.packed) == found.content
        assert ann.get(f"/files/{'0' * 12}/{name}").status_code == 404, "of a version that is not this one"
    assert ann.get("/files/0/nothing.js").status_code == 404


def test_our_own_script_evaluates_nothing() -> None:
    script = Path(HERE, "static", "page.js").read_text(encoding="utf-8")
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function", script)
