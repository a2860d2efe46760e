"""A folder of documents with traps in it, and the four function bodies at work on it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from signoff.agents.agent import Task
from signoff.agents.artifacts import Artifact
from signoff.agents.extractive.analysis import analyse
from signoff.agents.extractive.report import compose
from signoff.agents.extractive.research import gather
from signoff.agents.roles.checks import inspect
from signoff.tools.search.sources import Sources

Report = Callable[[str, Sources], Task]
Ask = Callable[[str], Task]


@pytest.fixture(scope="session")
def ferry_folder() -> Path:
    """Where the ferry's documents lie."""
    return Path(__file__).parent / "ferry"


@pytest.fixture(scope="session")
def ferry(ferry_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sources]:
    """The ferry's documents, indexed."""
    sources = Sources.open(ferry_folder, database=tmp_path_factory.mktemp("index") / "ferry.db")
    sources.refresh()
    yield sources
    sources.close()


@pytest.fixture(scope="session")
def report() -> Report:
    """Have a question researched, analysed, written up and reviewed: a task with all four artifacts."""

    def run(question: str, sources: Sources) -> Task:
        task = Task(question)
        bodies: tuple[Callable[[Task], Artifact], ...] = (
            lambda task: gather(task, sources),
            analyse,
            compose,
            lambda task: inspect(task, sources),
        )
        for body in bodies:
            made = body(task)
            task = replace(task, artifacts={**task.artifacts, type(made).__name__: made})
        return task

    return run


@pytest.fixture
def ask(report: Report, ferry: Sources) -> Ask:
    """The same, of the ferry's documents."""
    return lambda question: report(question, ferry)
