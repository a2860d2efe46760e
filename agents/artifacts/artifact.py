"""The typed, named pieces of work that agents give and need."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field

from signoff.wording import counted


class Part(BaseModel):
    """A value that artifacts are made of: it never changes, and has its own fields only."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Artifact(Part):
    """A piece of work. Subclass it; the class name is the artifact's name in the state."""

    def brief(self) -> str:
        """What a chat client shows when it is given: Markdown, short unless the work is itself a text."""
        return f"{type(self).__name__} is ready."

    def told(self) -> str:
        """What a model is shown of it that needs it: all of it as JSON, unless a subclass says it in less."""
        return self.model_dump_json(exclude_defaults=True)

    def undone(self) -> str:
        """Why the goal is not reached, although this was given; empty if it may be. A run that ends so is not done."""
        return ""


class Verdict(Artifact):
    """An artifact that judges another: while it does not accept, that one goes back to its giver with the notes."""

    accepted: bool
    about: str = Field(description="Name of the artifact judged, such as 'Draft'")
    notes: tuple[str, ...] = Field(default=(), description="What must change before it is accepted")

    def brief(self) -> str:
        lines = [f"{self.about} accepted." if self.accepted else f"{self.about} goes back."]
        return "\n".join(lines + [f"- {note}" for note in self.notes])


class SubGoal(Part):
    """What one agent is to do towards the goal."""

    agent: str = Field(max_length=200, description="Role of the agent")
    goal: str = Field(default="", max_length=2000, description="What it is to do; empty: what its role says")
    parts: tuple[Annotated[str, Field(min_length=1, max_length=500)], ...] = Field(
        default=(), max_length=50, description="The parts that it does one by one; empty: it has none"
    )

    @property
    def told(self) -> str:
        """What the agent is told of it; empty if there is nothing to tell."""
        listed = "\n".join(f"- {part}" for part in self.parts)
        return "\n".join(filter(None, (self.goal, f"Its parts:\n{listed}" if listed else "")))


class WorkPlan(Artifact):
    """Who does what, in the order in which they work. A team with an agent that gives it works by it."""

    steps: tuple[SubGoal, ...] = Field(description="Each agent that works, once, after those whose work it needs")

    def brief(self) -> str:
        lines = (f"{place}. {step.agent}: {step.told}".rstrip(": ") for place, step in enumerate(self.steps, 1))
        return "\n".join((f"Planned the work of {counted(len(self.steps), 'agent')}.", *lines))


class Quote(Part):
    """A span copied word for word from a stored document."""

    id: int = Field(description="Citation number, from 1, unique within the evidence")
    text: str = Field(description="The span, word for word as it stands in the stored text")
    source: str = Field(description="Path of the document, relative to the sources folder; or `web:…`, a snapshot")
    start: int = Field(description="Offset of the span's first character in the stored text; -1 if not known yet")
    title: str = Field(default="", description="Title of the document")
    heading: str = Field(default="", description="Headings above the span, outermost first, joined by ' › '")
    kind: str = Field(default="", description="'prose', 'list', 'table' or 'code', if known")
    origin: str = Field(default="", description="Of a page of the web: its address and when it was fetched")
    score: float = Field(default=0.0, description="How well it answers the question; higher is better")
    by: Literal["", "search"] = Field(
        default="", description="'search' if the search put it here and no model chose it"
    )


class Said(Part):
    """A sentence that a model wrote, and what it rests on."""

    text: str = Field(
        description="One sentence in plain words, without citations", json_schema_extra={"maxLength": 600}
    )
    quotes: tuple[int, ...] = Field(description="Numbers of the quotes that say so", json_schema_extra={"maxItems": 6})


class WrittenPart(Part):
    """A part of a question that was worked part by part: what was written of it, and what is wanting."""

    question: str
    said: tuple[Said, ...] = ()
    quotes: tuple[int, ...] = Field(default=(), description="Ids of its quotes, those that its sentences rest on first")
    struck: tuple[Said, ...] = Field(default=(), description="Sentences that their quotes do not bear out")
    open: tuple[str, ...] = Field(default=(), description="What it asks and nothing that was found answers")
    problem: str = Field(default="", description="Why it was not worked, or not to the end")


class Evidence(Artifact):
    """What the researcher found: quoted spans that bear on the question."""

    question: str
    quotes: tuple[Quote, ...] = ()
    searched: int = Field(default=0, description="Number of documents that were searched")
    matched: int = Field(default=0, description="Number of documents with a relevant passage")
    sure: bool = Field(default=True, description="Whether a quote was judged to answer; else they are the nearest")
    missing: tuple[str, ...] = Field(default=(), description="Words of the question that no document uses")
    unmet: tuple[str, ...] = Field(default=(), description="Parts of the question that no quote has the words of")
    parts: tuple[WrittenPart, ...] = Field(default=(), description="Its parts, if it was worked part by part")

    def brief(self) -> str:
        sources = len({quote.source for quote in self.quotes})
        found = f"{counted(len(self.quotes), 'passage')} in {sources} of {counted(self.searched, 'document')}"
        return f"Found {found}." if self.sure else f"Found nothing that surely answers; the nearest: {found}."


class Theme(Part):
    """Quotes that speak of one thing."""

    title: str
    quotes: tuple[int, ...] = Field(description="Quote ids, best first")
    summary: str = Field(default="", description="One or two sentences; empty when nothing was generated")


class Conflict(Part):
    """Two quotes that seem to disagree."""

    first: int
    second: int
    why: str


class Computation(Part):
    """What a query of the tables found, as the database gave it."""

    title: str
    sql: str = Field(description="The query")
    columns: tuple[str, ...]
    rows: tuple[tuple[int | float | str | None, ...], ...]
    more: bool = Field(default=False, description="Whether there are more rows than these")


class Picture(Part):
    """A chart that was drawn."""

    title: str
    name: str = Field(description="Name of its file, as the report refers to it")
    sha256: str = Field(description="Digest of the file, under which it is kept")
    bytes: int
    sql: str = Field(default="", description="The query it was drawn from")


class Analysis(Artifact):
    """What the analyst makes of the evidence."""

    answer: tuple[int, ...] = Field(default=(), description="Ids of the quotes that answer most directly, best first")
    themes: tuple[Theme, ...] = ()
    conflicts: tuple[Conflict, ...] = ()
    gaps: tuple[str, ...] = Field(default=(), description="What was asked and the sources do not say")
    computations: tuple[Computation, ...] = Field(default=(), description="What the tables say")
    pictures: tuple[Picture, ...] = Field(default=(), description="Charts of the tables")

    def brief(self) -> str:
        parts = {"theme": len(self.themes), "disagreement": len(self.conflicts), "gap": len(self.gaps)}
        shown = {"computation": len(self.computations), "chart": len(self.pictures)}
        parts |= {part: number for part, number in shown.items() if number}
        return f"Sorted the evidence: {', '.join(counted(number, part) for part, number in parts.items())}."


class Draft(Artifact):
    """A report in Markdown with numbered citations [1] that are quote ids."""

    title: str
    markdown: str
    method: Literal["extracted", "generated"]
    returned: int = Field(default=0, description="How often it came back for what its quotes do not bear out")
    struck: tuple[str, ...] = Field(default=(), description="Sentences that were struck for that, and why")

    def brief(self) -> str:
        return self.markdown


class Check(Part):
    """One thing the reviewer looked at."""

    name: str
    passed: bool
    detail: str = ""


class Review(Verdict):
    """The reviewer's verdict on the draft, with each check that was made."""

    about: str = "Draft"
    checks: tuple[Check, ...] = ()

    @classmethod
    def of(cls, checks: tuple[Check, ...]) -> Self:
        """The verdict of checks that code makes: accepted if all passed, else with what the others say."""
        notes = tuple(f"{check.name} {check.detail}".strip() for check in checks if not check.passed)
        return cls(accepted=not notes, notes=notes, checks=checks)
