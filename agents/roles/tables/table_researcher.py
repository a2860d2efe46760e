"""The researcher of a table: what documents state of each row and column, row by row side by side. Gives a Table."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from langchain_core.language_models import BaseChatModel
from pydantic import BaseModel, Field

from signoff.agents.agent import Agent, Each, Limits, Row, Task
from signoff.agents.artifacts import (
    Artifact,
    Cell,
    Cells,
    Column,
    Fact,
    Quote,
    StoredText,
    Table,
    is_of_kind,
    normal,
    stated,
)
from signoff.agents.citations import even_out
from signoff.agents.claims import unsupported
from signoff.agents.models.registry import Tiers
from signoff.agents.roles.prompts import prompt
from signoff.agents.runner import place_of_work
from signoff.tools.search import order
from signoff.wording import counted

T = TypeVar("T", bound=Table)

SHOWN = 12_000
"""Characters of one row's documents that a model is shown."""
_PIECE = 1_000
"""Characters of a piece of a document, where not all of them can be shown."""


@dataclass(frozen=True)
class Pages:
    """What was read for one row."""

    own: tuple[StoredText, ...] = ()
    """The documents about it."""
    shared: tuple[StoredText, ...] = ()
    """Documents about several, of whose tables those rows and columns count that are about it."""
    problems: tuple[str, ...] = ()
    """What could not be read, and why."""
    others: tuple[str, ...] = ()
    """Names of other rows: a sentence that names one of them is not about this one."""

    @property
    def read(self) -> tuple[str, ...]:
        return tuple(text.source for text in (*self.own, *self.shared))


class Answer(BaseModel):
    """One value, and the sentence that states it."""

    column: str = Field(max_length=120, description="Name of the column")
    value: str = Field(max_length=300, description="The value, in as few words as possible")
    quote: str = Field(max_length=600, description="What states it, word for word as it stands in the document")


class Answers(BaseModel):
    """What the documents state; a column that they do not speak of is left out."""

    answers: list[Answer] = Field(max_length=100)


def table_researcher(
    gives: type[T],
    *,
    title: str,
    rows: Callable[[Task], Sequence[Any]],
    columns: Callable[[Task], Sequence[Column]],
    pages: Callable[[Any, Task], Pages],
    of: type[Any] = str,
    needs: Sequence[type[Artifact]] = (),
    row_needs: Sequence[type[Artifact]] | None = None,
    role: str = "researcher",
    model: BaseChatModel | Tiers | None = None,
    width: int = 6,
) -> Agent[T]:
    """An agent that fills a table row by row from documents; what it does not find stays empty, and says so.

    A row is a text, or what `of` says: then its first field names it.
    `pages` gives its documents. Code finds what they state under labels, in tables and in sentences of known
    kinds; a model is shown them once, and what it adds counts only with a quote that stands in them and bears it out.
    `row_needs` are those of the needs that `columns` and `pages` read for one row (None: all): each row is sent them.
    """
    work = _Work(columns, pages)

    def join(found: Sequence[Row[Cells]], task: Task) -> T:
        filled = {row.name: row.gave.cells if row.gave is not None else row.problem for row in found}
        return gives.of(title, columns(task), filled)

    return Agent(
        role=role,
        instructions=prompt("table_researcher"),
        gives=gives,
        needs=tuple(needs),
        each=Each(
            items=rows,
            of=of,
            needs=row_needs,
            gives=Cells,
            function=work.fill,
            form=Answers,
            read=work.read,
            join=join,
        ),
        model=model,
        opening=work.open,
        limits=Limits(width=width),
    )


def row_cells(
    row: str, columns: Sequence[Column], pages: Pages, more: Mapping[str, Sequence[Fact]] | None = None
) -> Cells:
    """The cells of a row: what its documents state of each column, and `more` facts of columns by their name.

    What is not found, while a document could not be read, is a look-up that failed: it may stand there.
    """
    cells = []
    for column in columns:
        found = stated(column, pages.own, about=row, shared=pages.shared, others=pages.others)
        facts = [*found, *(more or {}).get(column.name, ())]
        if facts or not pages.problems:
            cells.append(Cell.settle(row, column, facts, pages.read))
        else:
            cells.append(Cell.failed(row, column, "; ".join(pages.problems), pages.read))
    return Cells(cells=tuple(cells))


@dataclass(frozen=True)
class _Work:
    """What is done for one row."""

    columns: Callable[[Task], Sequence[Column]]
    pages: Callable[[Any, Task], Pages]
    shown: dict[tuple[str, ...], Pages] = field(default_factory=dict)
    """What models were shown that are at work now, by run, item and row: quotes are looked up in just that."""

    def fill(self, task: Task) -> Cells:
        pages = self.pages(task.item, task)
        found = row_cells(_name(task.item), self.columns(task), pages)
        _tell(task, found, pages)
        return found

    def open(self, task: Task) -> str:
        """The columns, and the row's documents: of long ones the pieces that speak of the columns."""
        columns, pages = self.columns(task), self.pages(task.item, task)
        self.shown[*place_of_work(), _name(task.item)] = pages
        asked = "\n".join(f"- {column.name}{f': {column.about}' if column.about else ''}" for column in columns)
        names = " ".join(" ".join((column.name, column.about, *column.labels)) for column in columns)
        shown = "\n\n".join(f"{text.source}:\n{_part(text, names, SHOWN // len(pages.own))}" for text in pages.own)
        return f"The columns:\n{asked}\n\n{shown or 'No document is about it.'}"

    def read(self, answers: Answers, task: Task) -> Cells:
        """What a model found, as far as its quotes bear it out, together with what code finds."""
        shown = self.shown.pop((*place_of_work(), _name(task.item)), None)  # not in a process that only goes on
        pages = shown or self.pages(task.item, task)
        columns = {column.name.casefold(): column for column in self.columns(task)}
        facts: dict[str, list[Fact]] = {}
        dropped = 0
        for answer in answers.answers:
            column = columns.get(answer.column.strip().casefold())
            fact = _fact(answer, column, _name(task.item), pages.own) if column is not None else None
            if column is not None and fact is not None:
                facts.setdefault(column.name, []).append(fact)
            else:
                dropped += 1
        if dropped:
            task.say(f"threw away {counted(dropped, 'answer')} that no quote bears out")
        found = row_cells(_name(task.item), tuple(columns.values()), pages, facts)
        _tell(task, found, pages)
        return found


def _name(item: Any) -> str:
    """What a row is called: a text itself, of a model its first field."""
    return item if isinstance(item, str) else str(next(iter(item.model_dump().values())))


def _fact(answer: Answer, column: Column, row: str, texts: Sequence[StoredText]) -> Fact | None:
    """What a model answered, with the span of its quote; None if no document has that, or it does not bear it out."""
    value = " ".join(answer.value.split())
    for text in texts:
        at = text.text.find(answer.quote) if answer.quote.strip() else -1
        place = (at, at + len(answer.quote)) if at >= 0 else even_out(text.text).find(answer.quote)
        if place is None or not value or not is_of_kind(value, column.kind):
            continue
        span = text.span(*place)
        quote = Quote(id=1, text=span.text, source=text.source, start=span.start)
        if not unsupported(value, [quote], f"{row} {column.name} {column.about}"):
            return Fact(value=normal(value, column.kind), spans=(span,))
    return None


def _part(text: StoredText, names: str, most: int) -> str:
    """The text, or of a long one those of its pieces that have most to do with the columns, in their order."""
    if len(text.text) <= most:
        return text.text
    pieces = [text.text[at : at + _PIECE] for at in range(0, len(text.text), _PIECE)]
    best = [0, *(at for at in order([(piece,) for piece in pieces], names) if at)]
    return "\n…\n".join(pieces[at] for at in sorted(best[: max(1, most // _PIECE)]))


def _tell(task: Task, found: Cells, pages: Pages) -> None:
    read = counted(len(pages.read), "document")
    task.say(f"{found.brief()}, in {read}" + "".join(f"; {problem}" for problem in pages.problems))
