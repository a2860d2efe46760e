"""The researcher: finds passages in the documents, and on the web, that bear on the question. Gives Evidence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from langchain_core.language_models import BaseChatModel
from pydantic import BaseModel, Field

from signoff.agents.agent import Agent, Task
from signoff.agents.artifacts import Evidence, Quote
from signoff.agents.citations import verify_quotes
from signoff.agents.extractive.research import gather
from signoff.agents.models.registry import Tiers
from signoff.agents.roles.prompts import prompt
from signoff.agents.run_context import say_nothing
from signoff.tools import Action, Tool
from signoff.tools.errors import PageRefused, SearchFailed, SourcesEmpty, Unreadable
from signoff.tools.search import IndexProgress, Library, Skipped, search_tools, short_names, show, whole_name
from signoff.tools.web import Web, web_tools
from signoff.wording import counted

_MOST_PAGES = 5
_TOLD = 5
"""Files that cannot be read which are told."""
_ALWAYS = 5
"""Of what the search finds for the goal, what is among the evidence whatever a model chose."""


class Finding(BaseModel):
    """A quote and the document it stands in."""

    source: str = Field(
        max_length=400, description="The document's source as the search printed it, or its number: [3]"
    )
    text: str = Field(max_length=1000, description="One to three whole sentences, word for word")


class Findings(BaseModel):
    """What the model found."""

    findings: list[Finding] = Field(max_length=24)


def researcher(
    sources: Library,
    *,
    model: BaseChatModel | Tiers | None = None,
    tools: Sequence[Tool | Action[Any]] = (),
    web: Web | None = None,
    may_be_empty: bool = False,
) -> Agent[Evidence]:
    """An agent that searches a folder of documents, and the web if there is one; its model may use `tools` as well.

    With `web` the sources are a `SourcesAndPages`, which finds the pages again that were fetched. `may_be_empty`: the
    folder need not hold a document, as it holds tables that may answer.
    """
    research = _Research(sources, web, may_be_empty)
    pages = web_tools(web) if web is not None else ()
    return Agent(
        role="researcher",
        instructions=prompt("researcher", "web") if pages else prompt("researcher"),
        gives=Evidence,
        function=research.work,
        model=model,
        form=Findings,
        read=research.read,
        prepare=research.prepare,
        opening=research.open,
        tools=(*search_tools(sources), *pages, *tools),
    )


@dataclass(frozen=True)
class _Research:
    """What is done with the documents, and with the web if there is one."""

    sources: Library
    web: Web | None
    may_be_empty: bool

    def prepare(self, task: Task) -> None:
        def tell(progress: IndexProgress) -> None:
            task.say("looks through the documents", done=progress.done, total=progress.total)

        try:
            report = self.sources.refresh(tell)
        except SourcesEmpty:
            if not self.may_be_empty:
                raise
            task.say("there is no document in the folder, only tables")
            return
        say_skipped(report.skipped, task)
        if report.added or report.changed:
            task.say(f"indexed {report.added} new and {report.changed} changed documents")

    def open(self, task: Task) -> str:
        """What the search finds for the goal, as its tool prints it: most models need no more."""
        numbers = short_names(self.sources)
        return "\n\n".join(show(quote, numbers) for quote in gather(task, self.sources).quotes)

    def work(self, task: Task) -> Evidence:
        if self.web is not None:
            browse(task, self.web)
        return gather(task, self.sources)

    def read(self, findings: Findings, task: Task) -> Evidence:
        """What the model found, as the documents have it, and the first of what the search finds for the goal."""
        quotes = [
            Quote(id=place, text=finding.text, source=self._named(finding.source), start=-1)
            for place, finding in enumerate(findings.findings, start=1)
        ]
        found = gather(replace(task, say=say_nothing), self.sources)
        verified, dropped = verify_quotes(found.model_copy(update={"quotes": tuple(quotes)}), self.sources)
        if dropped:
            task.say(f"threw away {counted(dropped, 'quote')} that no document has word for word")
        best = found.quotes[:_ALWAYS]
        # A chosen sentence stands in its whole passage: nothing that qualifies it is cut off.
        whole = [next((one for one in best if _holds(one, quote)), quote) for quote in verified.quotes]
        chosen = {(quote.source, quote.start): quote for quote in whole}
        others = [quote.model_copy(update={"by": "search"}) for quote in best if quote not in whole]
        kept = tuple(
            quote.model_copy(update={"id": number}) for number, quote in enumerate((*chosen.values(), *others), 1)
        )
        matched, sure = len({quote.source for quote in kept}), bool(chosen) or found.sure
        return verified.model_copy(update={"quotes": kept, "matched": matched, "sure": sure})

    def _named(self, source: str) -> str:
        """The document that a model names by its path, its number or, of a page, its address."""
        name = whole_name(source, self.sources)
        return self.web.snapshots.source_of(name) if self.web is not None else name


def say_skipped(skipped: Sequence[Skipped], task: Task) -> None:
    """Name the first files that cannot be read, and why, and count the others."""
    for one in skipped[:_TOLD]:
        task.say(f"skipped {one.path}: {one.reason}")
    if len(skipped) > _TOLD:
        task.say(f"skipped {len(skipped) - _TOLD} more files; `signoff sources` lists them")


def _holds(passage: Quote, quote: Quote) -> bool:
    return passage.source == quote.source and quote.text in passage.text


def browse(task: Task, web: Web, most: int = _MOST_PAGES) -> None:
    """Fetch the pages that a search for the goal finds first, so that they can be searched and quoted like documents.

    A search that fails, or a page that cannot be had, is told to whoever watches; the work goes on without it.
    """
    if web.provider is None or web.fetcher is None:
        return
    task.say(f"searches the web with {web.provider.name}")
    try:
        results = web.search(task.goal, most)
    except SearchFailed as error:
        task.say(str(error))
        return
    for done, result in enumerate(results, 1):
        try:
            told = f"fetched {web.fetch(result.url).address}"
        except PageRefused as error:
            told = f"{error} ({result.url})"
        except Unreadable as error:
            told = f"Not fetched: {result.url} is {error.reason}"
        task.say(told, done=done, total=len(results))
