"""What the site has beside the pages of `docs/`: files of the root that are pages too, and links that lead to none.

MkDocs calls these functions by their names (`hooks` in mkdocs.yml).
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any, Final

_ROOT: Final = Path(__file__).resolve().parents[1]
_PAGES: Final = ("CHANGELOG.md", "CODE_OF_CONDUCT.md", "CONTRIBUTING.md", "SECURITY.md")
"""Files of the root that are pages of the site, by the same name."""
_LINK: Final = re.compile(r"(?<!!)\[([^\]]*)\]\((?!\w+:|#)([^)#\s]*)(#[^)\s]*)?\)")


_CITATIONS: Final = re.compile(r"\[(\d+)\](?= ?\[\d+\])")
"""Of citations beside each other, as `[1] [4]`, all but the last: together they would be a reference."""


def on_files(files: Any, config: Any) -> Any:
    """Add the pages of the root."""
    from mkdocs.structure.files import File

    for name in _PAGES:
        files.append(File.generated(config, name, content=(_ROOT / name).read_text(encoding="utf-8")))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Have links lead where the pages are in the site; what is no page of it is named without a link."""
    place = page.file.src_uri
    here = _ROOT / place if place in _PAGES else _ROOT / "docs" / place

    def changed(found: re.Match[str]) -> str:
        text, target, anchor = found[1], found[2], found[3] or ""
        if not target:
            return found[0]
        to = (here.parent / target).resolve()
        inside = _in_site(to)
        if inside is None:
            return text
        return f"[{text}]({Path(os.path.relpath(inside, Path(place).parent)).as_posix()}{anchor})"

    parts = re.split(r"(^```.*?^```$)", markdown, flags=re.MULTILINE | re.DOTALL)
    return "".join(
        part if part.startswith("```") else _CITATIONS.sub(r"\\[\1\\]", _LINK.sub(changed, part)) for part in parts
    )


def _in_site(file: Path) -> Path | None:
    """Where a file is in the site; None if it is not in it."""
    if file.is_relative_to(_ROOT / "docs"):
        return file.relative_to(_ROOT / "docs")
    if file == _ROOT / "README.md":
        return Path("README.md")
    return Path(file.name) if file.parent == _ROOT and file.name in _PAGES else None
