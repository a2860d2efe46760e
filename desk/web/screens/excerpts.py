"""As much of what is asked as a page has room for; what is left out is told of in its place, and is in the files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, TypeVar

from starlette.responses import Response

from signoff.checkpoints.ledger import Approval
from signoff.graphs.approval import Passage, exactly, passages_of
from signoff.tools import Action
from signoff.wording import as_block

LARGEST: Final = 140_000
"""Bytes of a page."""
_A_LINE: Final = 40
"""Characters of markup around a line of a list."""

Room = TypeVar("Room")


@dataclass(frozen=True)
class Space:
    """How much of something is shown."""

    characters: int
    """Of a text, or of all lines of a list."""
    items: int
    """Of a list, or fields of a form."""


SPACES: Final = tuple(Space(64_000 >> step, 256 >> step) for step in range(9))
"""One after the other, until the page is small enough."""
_BESIDE_OTHERS: Final = 20_000
BATCHES: Final = (
    *(Space(_BESIDE_OTHERS, items) for items in (20, 10, 5, 2)),
    *(Space(_BESIDE_OTHERS >> step, 1) for step in range(8)),
)
"""The same for a page of several, with how many it shows: each whole, unless it is too large to stand beside others."""


def fitting(rooms: Sequence[Room], show: Callable[[Room], Response], most: int = LARGEST) -> Response:
    """The page with the first of these rooms with which it is small enough, or with the last."""
    page = show(rooms[0])
    for room in rooms[1:]:
        if len(page.body) <= most:
            break
        page = show(room)
    return page


@dataclass(frozen=True)
class Part:
    """A text as far as it is shown."""

    text: str
    left: int = 0
    """Characters of it that are not."""


@dataclass(frozen=True)
class Told:
    """A passage as far as it is shown."""

    kind: str
    part: Part
    """Of a preview its Markdown."""
    lines: Sequence[Part] = ()
    arguments: Sequence[tuple[str, Part]] = ()
    """That stand below it, in the place of their JSON."""
    more: int = 0
    """Lines, or arguments, that are not shown."""

    @property
    def is_whole(self) -> bool:
        parts = (self.part, *self.lines, *(part for _, part in self.arguments))
        return not self.more and not any(part.left for part in parts)


def part_of(text: str, most: int) -> Part:
    return Part(text[:most], max(0, len(text) - most))


def parts_of(texts: Sequence[str], space: Space) -> tuple[list[Part], int]:
    """Of as many of these texts as there is room for a part, and how many are left out; none takes another's room."""
    shown, room = texts[: space.items], max(1, space.characters - _A_LINE * min(len(texts), space.items))
    shares = dict[int, int]()
    for done, place in enumerate(sorted(range(len(shown)), key=lambda place: len(shown[place]))):
        shares[place] = min(len(shown[place]), room // (len(shown) - done))
        room -= shares[place]
    return [part_of(text, shares[place]) for place, text in enumerate(shown)], len(texts) - len(shown)


@dataclass(frozen=True)
class Asked:
    """What an approval asks, all of it."""

    approval: Approval
    passages: tuple[Passage, ...]
    exact: str
    """Its arguments as JSON."""

    @classmethod
    def of(cls, approval: Approval, action: Action[Any] | None) -> Asked:
        return cls(approval, tuple(passages_of(approval, action)), exactly(approval.shown))

    def within(self, space: Space) -> list[Told]:
        """Its passages, as far as there is room."""
        block = as_block(self.exact, "json")
        return [_told(one, self.approval, block, space) for one in self.passages]


def _told(passage: Passage, approval: Approval, block: str, space: Space) -> Told:
    if passage.kind == "list":
        lines, more = parts_of(passage.lines, space)
        return Told("list", Part(""), lines, more=more)
    text = passage.text
    if passage.kind != "preview":
        return Told(passage.kind, part_of(text, space.characters))
    if text.endswith(block):  # the arguments are easier to read one by one than as JSON
        values = [value if isinstance(value, str) else exactly(value) for value in approval.shown.values()]
        shown, more = parts_of(values, space)
        named = [(name[: space.characters], part) for name, part in zip(approval.shown, shown, strict=False)]
        return replace(_preview(text.removesuffix(block), space), kind="arguments", arguments=named, more=more)
    return _preview(passage.markdown if len(text) <= space.characters else text, space)


def _preview(markdown: str, space: Space) -> Told:
    """Markdown; a part of it as its source, as its markup may end in what is left out."""
    part = part_of(markdown, space.characters)
    return Told("preview", replace(part, text=as_block(part.text, "markdown")) if part.left else part)
