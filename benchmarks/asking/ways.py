"""The ways to an answer that are compared: plain BM25, the search beneath, and the report as its reader gets it."""

import re
import resource
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from markdown_it import MarkdownIt
from markdown_it.tree import SyntaxTreeNode

from asking.bm25 import PlainBm25
from asking.scoring import Shown
from signoff import Draft, Run, Settings, Sources, report_team
from signoff.tools.search import MiniLM

MOST = 8
"""Passages that a search is asked for."""

MARK = re.compile(
    r"nothing (?:was found|in\b.{0,200}? answers?)|no (?:passage|document)s?\b|not an answer"
    r"|not (?:judged|answered|in the (?:sources|documents))"
    r"|(?:sources|documents|passages?) (?:do|does) not (?:answer|say)"
    r"|none of (?:the|these|them)|comes? nearest|nearest passages?",
    re.IGNORECASE | re.DOTALL,
)
"""How a report says, above its first quote, that the documents do not answer or that what follows was not judged to."""

DISAGREE = re.compile(
    r"\[\d+\].*\[\d+\].*(?:disagree|contradict|differ)|(?:disagree|contradict|differ).*\[\d+\].*\[\d+\]", re.DOTALL
)
"""How a report says of two quotes that they say otherwise of the same thing."""
SHORT = re.compile(r"\s\[\d+\]$")
"""How the short answer ends: it is quoted, and may itself say that nothing does something."""
FIGURES = "From the tables"
"""Below which heading a report shows what was computed."""


class Way(Protocol):
    def ask(self, question: str) -> Shown: ...
    def close(self) -> None: ...


Opened = Callable[[Path, Path], Way]
"""Opens a way over a folder of documents; what it keeps goes into the second folder."""


class Bm25:
    def __init__(self, documents: Path, home: Path) -> None:
        self._index = PlainBm25(documents, home / "bm25.db")

    def ask(self, question: str) -> Shown:
        began = cpu()
        found = tuple(self._index.search(question, MOST))
        return Shown(found, "\n\n".join(found), False, cpu() - began)

    def close(self) -> None:
        self._index.close()


class Search:
    def __init__(self, documents: Path, home: Path, *, embeddings: bool = False) -> None:
        self._sources = Sources.open(documents, home=home, embedder=MiniLM() if embeddings else None)
        self._sources.refresh()

    def ask(self, question: str) -> Shown:
        began = cpu()
        found = tuple(passage.text for passage in self._sources.search(question, limit=MOST))
        return Shown(found, "\n\n".join(found), False, cpu() - began)

    def close(self) -> None:
        self._sources.close()


class Report:
    """A run of the report team without a model, as far as its question whether to publish."""

    def __init__(self, documents: Path, home: Path, *, embeddings: bool = False) -> None:
        self._settings = Settings(home=home, model="offline", embeddings=embeddings, user="judge")
        self._documents = documents
        self.ask("What is this about?")  # reads the documents

    def ask(self, question: str) -> Shown:
        began = cpu()
        with tempfile.TemporaryDirectory() as out:
            team = report_team(self._documents, out=Path(out, "report.md"), model="offline", settings=self._settings)
            run = Run.start(team, question, settings=self._settings)
        spent = cpu() - began
        if Draft.__name__ in run.artifacts:
            flags = tuple(flag for approval in run.approvals for flag in approval.flags)
            return replace(shown_in(run.artifact(Draft).markdown, spent), flags=flags)
        return Shown((), run.asked.reason if run.approvals else str(run.status), True, spent)

    def close(self) -> None:
        """Nothing is left open."""


def shown_in(markdown: str, spent: float) -> Shown:
    """The quoted blocks of a report in order, and what stands in its figures."""
    tree = SyntaxTreeNode(MarkdownIt("commonmark").enable("table").parse(markdown))
    blocks: list[str] = []
    above: list[str] = []
    computed: list[str] = []
    heading = ""
    for node in tree.children:
        text = _text(node)
        if node.tag in ("h1", "h2"):
            heading = text
        elif heading == FIGURES:
            computed.append(text)
        elif node.type in ("blockquote", "table"):
            blocks.append(text)
        elif not blocks and node.type != "heading" and not SHORT.search(text):
            above.append(text)
    lines = [_text(node) for node in tree.walk() if node.type == "inline"]
    return Shown(
        blocks=tuple(blocks),
        everything=_text(tree),
        marked=bool(MARK.search("\n".join(above))),
        cpu=spent,
        computed="\n".join(computed),
        disagreements=tuple(line for line in lines if DISAGREE.search(line)),
    )


def _text(node: SyntaxTreeNode) -> str:
    if node.children:
        apart = "" if node.type in ("inline", "link", "strong", "em") else "\n"
        return apart.join(_text(child) for child in node.children)
    return "\n" if node.type in ("softbreak", "hardbreak") else node.content if node.type != "root" else ""


def cpu() -> float:
    """Seconds of this process and of those it waited for."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime
