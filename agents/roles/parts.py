"""The work on one part of a question: passages are read, written of, and followed up, round by round.

A round is one answer of the model. It is shown what is new, and nothing that it was shown before.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Annotated, Final

from pydantic import Field

from signoff.agents.agent import Agent, Limits, Row, StepFailed, Task
from signoff.agents.artifacts import Artifact, Evidence, Quote, Said, WrittenPart
from signoff.agents.citations import cited_ids, flatten, without_citations
from signoff.agents.extractive.research import NEAREST, gather, quote_of
from signoff.agents.extractive.sentences import split
from signoff.agents.models.registry import tiers_of
from signoff.agents.roles.checks import find_unproven
from signoff.agents.roles.prompts import prompt
from signoff.agents.roles.researcher import browse
from signoff.agents.roles.writer import cite
from signoff.agents.run_context import say_nothing
from signoff.agents.runner import do_work
from signoff.tools.errors import PageRefused, Unreadable
from signoff.tools.search import Library, order, share, weigh, words_in, words_of
from signoff.tools.web import Web
from signoff.wording import counted

_MOST_LEADS: Final = 3
"""That are followed in one round."""
_PER_LEAD: Final = 4
"""Passages that one lead brings."""
_FAR_LESS: Final = 0.4
"""Share of the words that the best has, below which a passage is another part's."""
_PAGES: Final = 3
"""Pages of the web that a search for one part fetches."""
_SHORTEST: Final = 3
"""Words of a sentence that is one."""
_LONGEST_NAME: Final = 5
"""Words of a lead that a passage may name."""
_ROOM: Final = 12_000
"""Characters of passages that are shown at once."""
_MARKER: Final = re.compile(r"^\s*(?:[-*+•]|\d{1,2}[.)])\s+")
_ADDRESS: Final = re.compile(r"https?://[^\s<>\"'`)\]]+")
SHORT_STEP: Final = Limits(model_calls=3, output_tokens=2_048)
"""A step that only fills in a form: once, and once more if it did not fit."""


class Notes(Artifact):
    """What the passages say, and where to look on."""

    sentences: tuple[Said, ...] = Field(
        description="What they say that answers the goal", json_schema_extra={"maxItems": 8}
    )
    leads: tuple[Annotated[str, Field(json_schema_extra={"maxLength": 200})], ...] = Field(
        default=(), description="Where to look for what is missing", json_schema_extra={"maxItems": _MOST_LEADS}
    )
    open: tuple[Annotated[str, Field(json_schema_extra={"maxLength": 200})], ...] = Field(
        default=(), description="What is asked and no passage answers", json_schema_extra={"maxItems": 3}
    )


class Found(Artifact):
    """What came of one part; its quotes are numbered from 1."""

    said: tuple[Said, ...] = ()
    struck: tuple[Said, ...] = ()
    quotes: tuple[Quote, ...] = ()
    sure: bool = False
    open: tuple[str, ...] = ()
    problem: str = ""

    def brief(self) -> str:
        return f"Wrote {counted(len(self.said), 'sentence')} from {counted(len(self.quotes), 'passage')}."


@dataclass
class PartWork:
    """What is known of one part while it is worked on."""

    question: str
    goal: str
    """What it is a part of."""
    known: dict[int, Quote] = field(default_factory=dict)
    said: list[Said] = field(default_factory=list)
    faulty: dict[str, tuple[Said, str]] = field(default_factory=dict)
    """What the passages do not bear out, and why, by its text."""
    open: tuple[str, ...] = ()
    tried: set[str] = field(default_factory=set)

    def show(self, found: Iterable[Quote], longest: int = _ROOM) -> list[Quote]:
        """Number what is new of these, as much as so many characters hold, and one at least."""
        places = {(quote.source, quote.start) for quote in self.known.values()}
        new: list[Quote] = []
        for quote in found:
            room = longest - sum(len(one.text) for one in new)
            if (quote.source, quote.start) not in places and (len(quote.text) <= room or not new):
                places.add((quote.source, quote.start))
                new.append(quote.model_copy(update={"id": len(self.known) + len(new) + 1}))
        self.known |= {quote.id: quote for quote in new}
        return new

    def take(self, notes: Notes) -> list[str]:
        """Keep what the passages bear out; returns the leads that were not tried yet."""
        evidence = Evidence(question=self.goal, quotes=tuple(self.known.values()))
        before, self.faulty = {one.text.casefold() for one in self.said}, {}
        for said in self._sentences(notes):
            if said.text.casefold() in before:
                continue
            before.add(said.text.casefold())
            unproven = find_unproven(" ".join(cite([said], set())), evidence, self.goal)
            if unproven:
                self.faulty[said.text] = said, " ".join(unproven.values())
            else:
                self.said.append(said)
        asked = before | ({self.question.casefold(), self.goal.casefold()} if self.said else set())
        self.open = tuple(
            one for one in map(flatten, notes.open) if one and one.casefold() not in asked and not _is_told(one)
        )
        leads = {flatten(lead).casefold(): flatten(lead) for lead in notes.leads if words_of(lead)}
        new = [lead for key, lead in leads.items() if key not in self.tried and not self._is_copied(key)][:_MOST_LEADS]
        self.tried |= {lead.casefold() for lead in new}
        return new

    def _sentences(self, notes: Notes) -> Iterator[Said]:
        """The sentences one by one, without what cites nothing that was shown, headings and other scraps."""
        for given in notes.sentences:
            ids = dict.fromkeys((*given.quotes, *cited_ids(given.text)))
            quotes = tuple(id for id in ids if id in self.known)
            for sentence in split(flatten(without_citations(given.text)).lstrip("#>-* ")) if quotes else ():
                text = _MARKER.sub("", sentence.text).strip()
                if len(text.split()) >= _SHORTEST and " | " not in text and not text.endswith(":"):
                    yield Said(text=text, quotes=quotes)

    def _is_copied(self, lead: str) -> bool:
        """Whether a lead is only words of a passage: those find the passage."""
        texts = (quote.text.casefold() for quote in self.known.values())
        return _is_told(lead) or (len(lead.split()) > _LONGEST_NAME and any(lead in text for text in texts))

    def found(self, *, sure: bool, problem: str = "") -> Found:
        """What came of it, with the quotes that were used first."""
        struck = [said for said, _ in self.faulty.values()]
        used = dict.fromkeys(id for one in (*self.said, *struck) for id in one.quotes)
        others = [quote.model_copy(update={"by": "search"}) for id, quote in self.known.items() if id not in used]
        return Found(
            said=tuple(self.said),
            struck=tuple(struck),
            quotes=(*(self.known[id] for id in used), *others[:NEAREST]),
            sure=sure or bool(self.said),
            open=self.open or (() if self.said or problem else (self.question,)),
            problem=problem,
        )


@dataclass(frozen=True)
class Digging:
    """How the parts are worked."""

    sources: Library
    web: Web | None
    rounds: int
    step: Agent[Notes]

    def work(self, task: Task) -> Found:
        """Work one part, round by round, until a round brings nothing new."""
        goal = str(task.item)
        if self.web is not None:
            browse(replace(task, goal=goal), self.web, _PAGES)
        model = tiers_of(self.step.model).model(self.step.tier, task.stronger) if self.step.model is not None else None
        longest = min(_ROOM, model.longest_text) if model is not None else _ROOM
        first = gather(replace(task, goal=goal), self.sources)
        part, new = PartWork(goal, task.goal), self._near(first.quotes, goal)
        for number in range(1, self.rounds + 1):
            shown = part.show(new, longest)
            if not shown and not part.faulty:
                task.say("nothing new, so it is done" if number > 1 else "nothing is found for it")
                break
            again = f", has {counted(len(part.faulty), 'sentence')} put right" if part.faulty else ""
            task.say(f"round {number} of {self.rounds}: reads {counted(len(shown), 'passage')}{again}")
            try:
                leads = part.take(self._ask(task, part, shown))
            except StepFailed as failed:
                if number == 1:
                    raise
                return part.found(sure=first.sure, problem=f"{failed.failure.problem} (in round {number})")
            new = []
            if number < self.rounds:
                for lead in leads:
                    task.say(f"follows “{lead[:80]}”")
                    new += self._follow(lead, task, part)
        return part.found(sure=first.sure)

    def _ask(self, task: Task, part: PartWork, shown: Sequence[Quote]) -> Notes:
        """Have the model write of what is new: nothing that it was shown before is shown again."""
        again = {id: part.known[id] for said, _ in part.faulty.values() for id in said.quotes}
        texts = [_passage(quote) for quote in (*again.values(), *shown)]
        if named := self._named(part, shown):
            texts.append("Named in them: " + "; ".join(named))
        if part.said:
            texts.append("Written of it so far:\n" + "\n".join(f"- {line}" for line in cite(part.said, set())))
        told = [f"It is one part of: {part.goal}"] if part.goal != part.question else []
        if part.said or part.faulty:
            told.append("Passages of an earlier round were written of already: give only what these add.")
        notes = tuple(f"{why}; put it right, or leave it out." for _, why in part.faulty.values())
        made = do_work(
            replace(self.step, opening=lambda _: "\n\n".join(texts)),
            Task(
                goal=part.question,
                notes=(*task.notes, *notes),
                instructions="\n".join(filter(None, (*told, task.instructions))),
                say=say_nothing,
                stronger=task.stronger,
            ),
        )
        assert isinstance(made.artifact, Notes)
        return made.artifact

    def _named(self, part: PartWork, shown: Sequence[Quote]) -> list[str]:
        """The documents and addresses that passages name: where somebody could look on."""
        texts, seen = [quote.text for quote in shown], {quote.source for quote in part.known.values()}
        names = [path for path in self.sources.paths() if path not in seen and _names(path, texts)]
        links = [found.rstrip(".,;:") for text in texts for found in _ADDRESS.findall(text) if self._can_fetch]
        return list(dict.fromkeys((*names, *links)))[: _MOST_LEADS * 2]

    @property
    def _can_fetch(self) -> bool:
        return self.web is not None and self.web.fetcher is not None

    def _follow(self, lead: str, task: Task, part: PartWork) -> Sequence[Quote]:
        """What a lead brings: of a page or document what speaks of the part, else what a search for it finds."""
        quiet = replace(task, goal=lead, say=say_nothing)
        if _ADDRESS.fullmatch(lead):
            return self._page(lead, task, part)
        names = {path: path for path in self.sources.paths()}
        names |= {path.rpartition("/")[2].casefold(): path for path in names} | {
            path.casefold(): path for path in names
        }
        if path := names.get(lead.casefold().strip("`'\"")):
            return self._in_document(path, part.question)
        if self.web is not None:
            browse(replace(quiet, say=task.say), self.web, _PAGES)
        found = gather(quiet, self.sources)
        return self._near(found.quotes, lead)[:_PER_LEAD] if found.sure else ()

    def _near(self, found: Sequence[Quote], question: str) -> list[Quote]:
        """The first, and what has not far less of the question than the best: the rest may be another part's."""
        words = words_of(question)
        weights = weigh(self.sources.document_frequency(words), self.sources.passages)
        texts = [f"{quote.heading}\n{quote.title}\n{quote.text}" for quote in found]
        shares = [share(held, weights) for held in words_in(texts, words)]
        return [one for at, one in enumerate(found) if at == 0 or shares[at] >= _FAR_LESS * max(shares)]

    def _page(self, address: str, task: Task, part: PartWork) -> Sequence[Quote]:
        """Of a page that a passage names; no other is fetched, as its address might tell what documents say."""
        if self.web is None or not self._can_fetch or not any(address in one.text for one in part.known.values()):
            return ()
        try:
            return self._in_document(self.web.fetch(address).source, part.question)
        except PageRefused as error:
            task.say(f"{error} ({address})")
        except Unreadable as error:
            task.say(f"Not fetched: {address} is {error.reason}")
        return ()

    def _in_document(self, source: str, goal: str) -> list[Quote]:
        passages = self.sources.passages_of(source)
        best = order([(one.text, one.heading) for one in passages], goal) or range(len(passages))
        return [quote_of(0, passages[at], self.sources) for at in best[:_PER_LEAD]]

    def join(self, rows: Sequence[Row[Found]], task: Task) -> Evidence:
        """All that was found, numbered anew, and the parts as they were written; a part that failed keeps its place."""
        quiet = replace(task, say=say_nothing)
        quotes: dict[tuple[str, int], Quote] = {}
        parts: list[WrittenPart] = []
        unsure: list[str] = []
        for row in rows:
            nearest = () if row.gave else gather(replace(quiet, goal=str(row.item)), self.sources).quotes[:NEAREST]
            found = row.gave or Found(quotes=tuple(one.model_copy(update={"by": "search"}) for one in nearest))
            ids: dict[int, int] = {}
            for quote in found.quotes:
                place = (quote.source, quote.start)
                ids[quote.id] = quotes.setdefault(place, quote.model_copy(update={"id": len(quotes) + 1})).id
                if not quote.by:
                    quotes[place] = quotes[place].model_copy(update={"by": ""})
            said, struck = ([_renumbered(one, ids) for one in some] for some in (found.said, found.struck))
            parts.append(
                WrittenPart(
                    question=str(row.item),
                    said=tuple(said),
                    struck=tuple(struck),
                    quotes=tuple(ids.values()),
                    open=found.open,
                    problem=row.problem or found.problem,
                )
            )
            unsure += [] if found.sure else [str(row.item)]
        kept = tuple(quotes.values())
        return Evidence(
            question=task.goal,
            quotes=kept,
            searched=self.sources.documents,
            matched=len({quote.source for quote in kept}),
            sure=len(unsure) < len(rows),
            parts=tuple(parts),
        )


def _renumbered(said: Said, ids: dict[int, int]) -> Said:
    return said.model_copy(update={"quotes": tuple(ids[id] for id in said.quotes)})


def _passage(quote: Quote) -> str:
    """A passage as the model reads it: its number, where it stands, and its text."""
    heading = f" | {quote.heading}" if quote.heading else ""
    return f"[{quote.id}] {quote.title or quote.source}{heading}\n{quote.text}"


def _is_told(text: str) -> bool:
    """Whether a model only repeats what it was told to give, as small ones do."""
    told = (prompt("part"), *(field.description or "" for field in Notes.model_fields.values()))
    return len(text.split()) > _SHORTEST and any(text.casefold().rstrip(".") in one.casefold() for one in told)


def _names(path: str, texts: Iterable[str]) -> bool:
    name = path.rpartition("/")[2]
    return any(name in text for text in texts)
