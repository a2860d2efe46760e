"""The copywriter: a message to each row of a table that names only what stands in its cells. Gives Letters."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

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
        return next((letter.text for letter in self.letters if letter.row == row), "")

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
    work = _Work(table, draft)

    def join(found: Sequence[Row[Letter]], _task: Task) -> Letters:
        return Letters(letters=tuple(one.gave for one in found if one.gave is not None))

    return Agent(
        role="copywriter",
        instructions=prompt("copywriter"),
        gives=Letters,
        needs=(table, *needs),
        each=Each(items=rows, gives=Letter, function=work.usual, form=Overview, read=work.read, join=join),
        model=model,
        asks_model=lambda task: bool(draft(task)),
        opening=work.told,
        limits=Limits(width=width),
    )


@dataclass(frozen=True)
class _Work:
    """What is done for one row."""

    table: type[Table]
    draft: Callable[[Task], str]

    def usual(self, task: Task) -> Letter:
        text, cells = fill(self.draft(task), task.item, task.need(self.table))
        return Letter(row=task.item, text=text, cells=cells)

    def told(self, task: Task) -> str:
        table = task.need(self.table)
        cells = "\n".join(f"[{table.number(cell)}] {cell.column}: {cell.shown}" for cell in self._found(task))
        return f"{task.item}\n{cells}\n\nWhat would be said otherwise:\n{self.usual(task).text}"

    def read(self, said: Overview, task: Task) -> Letter:
        """What a model wrote, as far as the cells of the row bear it out."""
        table, kept = task.need(self.table), list[str]()
        own = {table.number(cell) for cell in self._found(task)}
        for one in said.sentences:
            cited = "".join(f" [{number}]" for number in dict.fromkeys(one.cells))
            sentence = f"{' '.join(one.text.split())}{cited}"
            if one.cells and own >= set(one.cells) and not unmapped(sentence, table):
                kept.append(sentence)
        if dropped := len(said.sentences) - len(kept):
            task.say(f"threw away {counted(dropped, 'sentence')} that no cell bears out")
        if not kept:
            return self.usual(task)
        cells = tuple(dict.fromkeys(int(number) for one in kept for number in re.findall(r"\[(\d+)\]", one)))
        return Letter(row=task.item, text=_without_citations(kept), cells=cells, sentences=tuple(kept))

    def _found(self, task: Task) -> list[Cell]:
        return [cell for cell in task.need(self.table).row(task.item) if cell.state == "found"]


def _without_citations(sentences: Sequence[str]) -> str:
    return " ".join(_CITED.sub("", one) for one in sentences)
