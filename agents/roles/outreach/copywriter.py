"""The copywriter: a message to each row of a table that names only what stands in its cells. Gives Letters."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property

from langchain_core.language_models import BaseChatModel
from pydantic import Field

from signoff.agents.agent import Agent, Each, Limits, Row, Task
from signoff.agents.artifacts import Artifact, Cell, Table
from signoff.agents.extractive.rubric import fill
from signoff.agents.models.registry import Tiers
from signoff.agents.roles.prompts import prompt
from signoff.agents.roles.tables.table_checks import unmapped
from signoff.agents.roles.tables.table_report import Overview
from signoff.wording import counted

_CITED = re.compile(r"(?: \[\d+\])+$")


class Letter(Artifact):
    """What is said to one, and the cells that it rests on."""

    row: str
    text: str
    cells: tuple[int, ...] = ()
    sentences: tuple[str, ...] = Field(default=(), description="With their citations, if a model wrote them")

    def brief(self) -> str:
        return f"{counted(len(self.text.split()), 'word')} on {counted(len(self.cells), 'cell')}"


class Letters(Artifact):
    """What is said to each."""

    letters: tuple[Letter, ...]

    def text(self, row: str) -> str:
        """What is said to this one; empty if nothing is."""
        return self._texts.get(row, "")

    @cached_property
    def _texts(self) -> dict[str, str]:
        return {letter.row: letter.text for letter in reversed(self.letters)}

    def strays(self, table: Table, draft: str) -> Iterator[str]:
        """Those whose letter says what is in no cell: what a model wrote, or what is not the draft filled in."""
        for letter in self.letters:
            if letter.sentences:
                cited = "\n\n".join(letter.sentences)
                odd = unmapped(cited, table) or letter.text != _without_citations(letter.sentences)
            else:
                odd = letter.text != fill(draft, letter.row, table)[0]
            if odd:
                yield letter.row


def copywriter(
    table: type[Table],
    *,
    rows: Callable[[Task], Sequence[str]],
    draft: Callable[[Task], str],
    needs: Sequence[type[Artifact]] = (),
    model: BaseChatModel | Tiers | None = None,
    width: int = 6,
) -> Agent[Letters]:
    """An agent that writes to each of these rows, side by side; with an empty draft nothing is said.

    Without a model, or where that says nothing that the row's cells bear out, the draft is filled in: `{Version}`
    stands for the value of a cell, and a line that names what is not found is left out.
    """

    def listed(task: Task) -> list[Recipient]:
        found = task.need(table)
        return [Recipient.of(row, found, draft(task)) for row in rows(task)]

    def join(found: Sequence[Row[Letter]], _task: Task) -> Letters:
        return Letters(letters=tuple(one.gave for one in found if one.gave is not None))

    return Agent(
        role="copywriter",
        instructions=prompt("copywriter"),
        gives=Letters,
        needs=(table, *needs),
        each=Each(
            items=listed,
            of=Recipient,
            needs=(),
            gives=Letter,
            function=lambda task: task.item.usual,
            form=Overview,
            read=_read,
            join=join,
        ),
        model=model,
        asks_model=lambda task: bool(task.item.draft),
        limits=Limits(width=width),
    )


class Recipient(Artifact):
    """Whom a letter is to, and all that may be said: its row alone goes to whoever writes it."""

    row: str
    table: Table = Field(description="That row, its cells numbered from 1")
    first: int = Field(description="The number of its first cell in the whole table")
    draft: str

    @classmethod
    def of(cls, row: str, table: Table, draft: str) -> Recipient:
        own = table.only(row)
        return cls(row=row, table=own, first=table.number(own.cells[0]), draft=draft)

    def told(self) -> str:
        cells = "\n".join(f"[{number}] {cell.column}: {cell.shown}" for number, cell in self.found.items())
        return f"{self.row}\n{cells}\n\nWhat would be said otherwise:\n{self.usual.text}"

    @property
    def found(self) -> dict[int, Cell]:
        """The cells that may be named, by their number here."""
        return {self.table.number(cell): cell for cell in self.table.cells if cell.state == "found"}

    @property
    def usual(self) -> Letter:
        """The draft, filled in."""
        text, cells = fill(self.draft, self.row, self.table)
        return Letter(row=self.row, text=text, cells=self.numbers(cells))

    def numbers(self, own: Sequence[int]) -> tuple[int, ...]:
        """The numbers of these cells in the whole table."""
        return tuple(number + self.first - 1 for number in own)


def _read(said: Overview, task: Task) -> Letter:
    """What a model wrote, as far as the cells of the row bear it out."""
    whom: Recipient = task.item
    kept = dict[str, tuple[int, ...]]()
    for one in said.sentences:
        sentence, own = " ".join(one.text.split()), tuple(dict.fromkeys(one.cells))
        if own and whom.found.keys() >= set(own) and not unmapped(_cited(sentence, own), whom.table):
            kept[_cited(sentence, whom.numbers(own))] = whom.numbers(own)
    if dropped := len(said.sentences) - len(kept):
        task.say(f"threw away {counted(dropped, 'sentence')} that no cell bears out")
    if not kept:
        return whom.usual
    cells = tuple(dict.fromkeys(number for numbers in kept.values() for number in numbers))
    return Letter(row=whom.row, text=_without_citations([*kept]), cells=cells, sentences=tuple(kept))


def _cited(sentence: str, cells: Sequence[int]) -> str:
    return f"{sentence}{''.join(f' [{number}]' for number in cells)}"


def _without_citations(sentences: Sequence[str]) -> str:
    return " ".join(_CITED.sub("", one) for one in sentences)
