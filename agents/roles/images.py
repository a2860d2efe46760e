"""Images: the pictures that a Markdown text would show, and what else it could make a reader's program fetch."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

_TAG: Final = re.compile(r"<\s*(?:img|svg|picture|source|object|embed|iframe|video|audio|link|style|script)\b", re.I)


def find_images(markdown: str) -> Iterator[str]:
    """The address of every picture, and every HTML tag that shows or fetches something."""
    from markdown_it import MarkdownIt

    for block in MarkdownIt("commonmark").enable("table").parse(markdown):
        for token in (block, *(block.children or ())):
            if token.type == "image":
                yield str(token.attrs["src"])
            elif token.type in ("html_block", "html_inline"):
                yield from (found[0] for found in _TAG.finditer(token.content))
