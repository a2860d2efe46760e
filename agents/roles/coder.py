"""The coder: changes a copy of a repository until checks that code runs accept it. Gives Change.

Its body is a model in the tool loop, a codemod, or any program that speaks to a model through an endpoint of ours. What
each says of itself counts for nothing: the checks run after the last edit, on just the tree that is handed over.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from textwrap import shorten
from typing import Any, Final

from langchain_core.language_models import BaseChatModel
from pydantic import BaseModel, Field

from signoff.agents.agent import Agent, Limits, Propose, Task
from signoff.agents.artifacts import Artifact
from signoff.agents.errors import NO_WORKER, RepositoryUnusable, WorkFailed
from signoff.agents.models.openai.endpoint import open_door
from signoff.agents.models.registry import Tiers, tiers_of
from signoff.agents.roles.prompts import prompt
from signoff.agents.runner import include_usage, place_of_work
from signoff.tools import Action, Proposal, Tool
from signoff.tools.errors import FileRefused, ToolError
from signoff.tools.files import make_patch, map_repository
from signoff.tools.git import uncommitted
from signoff.tools.sandbox import SHOWN_OF_COMMANDS, Bench, Proof, bench_tools, installed, no_word, tell
from signoff.tools.storage import write_whole
from signoff.wording import counted

LIMITS: Final = Limits(model_calls=60, attempts=2)
_TOLD: Final = 120
"""Characters of a command that is told while it runs."""
_AGENT: Final = "/agent"
"""Where the environment of another agent is inside."""
_PORT: Final = "http://127.0.0.1:3128/v1"
"""The endpoint inside of the sandbox, which has no other way out."""


@dataclass(frozen=True, kw_only=True)
class CodeWork:
    """What is worked on in a step, and by what; by the agent's model if neither of the two is named."""

    bench: Bench
    codemod: str = ""
    """A command that changes the copy."""
    program: str = ""
    """The command of another coding agent: it finds the goal in GOAL, and the model behind OPENAI_BASE_URL."""
    program_environment: Path | None = None
    """The virtual environment that this agent is installed in."""


class Baseline(Artifact):
    """What the checks show before any edit."""

    proof: Proof

    def brief(self) -> str:
        lines = [f"Before any edit: {self.proof}"]
        lines += [
            f"{run.command} fails already: {', '.join(run.failed[:10])}" for run in self.proof.checks if run.failed
        ]
        return "\n".join(lines)


class Change(Artifact):
    """What was made of the repository, as a patch, and what the checks show of that very tree."""

    done: bool
    why: str = Field(default="", description="Why it is not done")
    summary: str = ""
    files: tuple[str, ...] = ()
    patch: str = Field(default="", description="Of what was made; of work that is not done, of the best of it")
    kept: str = Field(default="", description="The file that the patch of work which is not done is kept in")
    proof: Proof | None = Field(default=None, description="What the checks showed of the tree with the patch")

    def brief(self) -> str:
        head = "Done" if self.done else f"Not done: {self.why}"
        best = "" if self.done or not self.patch else " Its best try is kept."
        proof = f" {self.proof}." if self.proof is not None else ""
        return f"{head}.{best} {counted(len(self.files), 'file')} changed.{proof} {self.summary}".strip()

    def undone(self) -> str:
        best = f" The best that was made is in {self.kept}: {self.proof}." if self.kept else ""
        return "" if self.done else f"Not done: {self.why.rstrip('.')}.{best}"


class Done(BaseModel):
    """The checks then run on what you made, by code; you hear of it if they do not accept it."""

    summary: str = Field(max_length=2000, description="What was changed, and why")
    cannot: str = Field(default="", max_length=2000, description="Why it cannot be done; empty if it is done")


def coder(
    work: Callable[[Task], CodeWork],
    *,
    model: BaseChatModel | Tiers | None = None,
    tools: Sequence[Tool] = (),
    needs: tuple[type[Artifact], ...] = (),
    actions: tuple[Action[Any], ...] = (),
    propose: Propose[Change] | None = None,
    refresh: Callable[[], object] | None = None,
    limits: Limits = LIMITS,
) -> Agent[Change]:
    """An agent that changes code; `work` says of a task, which may be one item, what it is about.

    `tools` are for looking things up, and `refresh` brings what they look into up to date. What `propose` wants done is
    proposed only while the copy is what the checks ran on.
    """
    hands = _Hands(work, model)

    def prepare(_task: Task) -> None:
        if refresh is not None:
            refresh()

    def propose_fresh(change: Change, task: Task) -> Sequence[Proposal]:
        if propose is None or not change.done or change.proof is None:
            return ()
        if hands.bench().tree != change.proof.tree:
            raise WorkFailed("coder", "the copy was changed after its checks ran, so that they prove nothing of it")
        return propose(change, task)

    return Agent(
        role="coder",
        instructions=prompt("coder"),
        needs=needs,
        gives=Change,
        function=hands.work_without,
        model=model,
        asks_model=lambda task: not (work(task).codemod or work(task).program),
        form=Done,
        read=lambda form, _task: Change(done=not form.cannot, why=form.cannot, summary=form.summary),
        prepare=prepare,
        opening=hands.open,
        shows=(Baseline,) if Baseline in needs else (),
        tools=(*bench_tools(hands.bench, hands.judge), *tools),
        accept=hands.accept,
        rescue=lambda failure, _task: Change(done=False, why=failure.problem),
        check=hands.conclude,
        actions=actions,
        propose=propose_fresh,
        limits=limits,
    )


def tester(work: Callable[[Task], CodeWork]) -> Agent[Baseline]:
    """An agent that runs the checks before any edit; a repository that cannot be worked on ends the run's command."""

    def test(task: Task) -> Baseline:
        bench = ready(work(task).bench)
        if changed := uncommitted(bench.project.folder):
            told = f"it has changes that are not committed ({', '.join(changed[:5])}). Commit or stash them"
            raise RepositoryUnusable(bench.project.folder, told)
        proof = bench.baseline(task.say)
        for run in proof.checks:
            if run.exit_code in (126, 127):
                where = f"the environment {str(bench.environment)!r}" if bench.environment else "no environment"
                told = f"{run.command!r} cannot be run with {where}: {run.output.strip()[-300:]}"
                raise RepositoryUnusable(bench.project.folder, f"{told}. Name one that has what it needs: --env DIR")
            if not run.passes:
                task.say(f"{run.command} fails already, before any edit: that is the baseline")
        return Baseline(proof=proof.short())

    return Agent(role="tester", gives=Baseline, function=test)


def ready(bench: Bench) -> Bench:
    """The same bench; RepositoryUnusable if there is no sandbox, or no copy can be made."""
    try:
        _ = bench.backend, bench.copy, bench.repository
    except ToolError as error:
        raise RepositoryUnusable(bench.project.folder, str(error).rstrip(".")) from error
    return bench


class _Made(BaseModel):
    """What was made of the repository at one moment."""

    patch: str
    files: tuple[str, ...]
    proof: Proof


def _made(bench: Bench, say: Callable[[str], object]) -> _Made:
    """What was made by now, with what the checks show of it. FileRefused for what no patch can say."""
    changes = bench.changes()
    files = tuple(change.path for change in changes)
    return _Made(patch=make_patch(changes), files=files, proof=bench.prove(say).short())


def run_codemod(bench: Bench, command: str, say: Callable[[str], object]) -> Change:
    """Let a command change the copy, and tell whether it may have worked; what it made is judged by the checks.

    Some end with an exit code where they changed files, as pyupgrade does with 1: that is told and no failure.
    """
    say(f"runs the codemod {shorten(command, _TOLD, placeholder=' …')}")
    finished = bench.run(command)
    summary = f"The codemod {command!r} was run."
    if finished.exit_code == 0:
        return Change(done=True, summary=summary)
    ran = finished.ended == "exit" and finished.exit_code not in (126, 127)
    if not ran or "Traceback (most recent call last)" in finished.stderr or bench.tree == bench.base_tree:
        return Change(done=False, why=f"the codemod failed: {tell(finished, '', SHOWN_OF_COMMANDS)}", summary=summary)
    note = f"It ended with exit code {finished.exit_code}, as some do that changed files."
    say(note)
    return Change(done=True, summary=f"{summary} {note}")


class _Hands:
    """What the coder does with the copy that a task is about."""

    def __init__(
        self,
        work: Callable[[Task], CodeWork],
        model: BaseChatModel | Tiers | None,
    ) -> None:
        self._work, self._model = work, model
        self._benches: dict[tuple[str, str], Bench] = {}

    # The step

    def begin(self, task: Task) -> Bench:
        """The copy that this step is about, which its tools work on from now on."""
        bench = self._benches[place_of_work()] = ready(self._work(task).bench)
        bench.set_out()
        return bench

    def open(self, task: Task) -> str:
        """The map of the repository, and what may not be changed in it."""
        bench = self.begin(task)
        files = bench.files()
        checks = "\n".join(f"- {command}" for command in bench.checks)
        if bench.within is None:
            protected = [path for path in files if bench.protected(path)]
            limits = f"Read-only files: {', '.join(protected[:50]) or 'none'}"
        else:
            limits = f"Of the files that are there you may change only: {', '.join(sorted(bench.within))}"
        told = f"Checks that must pass:\n{checks}\n\n{limits}"
        raw = {path: version.raw for path, version in files.items()}
        return f"{told}\n\nThe repository:\n{map_repository(raw, task.goal)}"

    def accept(self, form: Done, task: Task) -> str:
        """What is wrong with the work, and what the checks printed; empty if they accept it, or the model gives up."""
        return "" if form.cannot else self.judge(task.say)

    def conclude(self, change: Change, task: Task) -> Change:
        """What is handed over: the tree that the checks accept; or the best one there was, and why it is not done."""
        bench, why = self.bench(), change.why
        try:
            why = why or "; ".join(bench.problems(task.say))
            made = None if why or not change.done else _made(bench, task.say)
        except FileRefused as refused:  # such as a binary file, or one that was changed in the repository meanwhile
            why, made = why or f"no patch can be made of it: {refused}", None
        if made is not None:
            return change.model_copy(update=dict(made))
        if changed := bench.put_back():
            task.say(f"puts back {', '.join(changed[:5])}")
        best = self._best(bench, task.say)
        left = {} if best is None else {**dict(best), "kept": str(bench.keep(best.patch))}
        return change.model_copy(update={"done": False, "why": why or "it was given up", **left})

    def work_without(self, task: Task) -> Change:
        """The codemod, or another agent's program."""
        work, bench = self._work(task), self.begin(task)
        bench.reset()  # of a try that was cut off, half may be there
        if work.codemod:
            return run_codemod(bench, work.codemod, task.say)
        if not work.program or self._model is None:
            raise RepositoryUnusable(bench.project.folder, NO_WORKER)
        task.say(f"runs {work.program}")
        programs = bench.copy.kept / "agent-programs"
        given, folders = installed(work.program_environment, _AGENT, programs, options="-E")
        with open_door(tiers_of(self._model).model("smart")) as door:
            env = {"GOAL": task.goal, "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1", "OPENAI_API_KEY": "none"}
            env |= dict.fromkeys(("OPENAI_BASE_URL", "OPENAI_API_BASE"), _PORT)
            finished = bench.run(work.program, door=door.socket, env=env, given=given, programs=folders)
        include_usage(door.usage)
        told = f"{work.program!r} made {counted(door.usage['calls'], 'call')} of the model"
        failed = "" if finished.exit_code == 0 else f"it failed: {tell(finished, '', SHOWN_OF_COMMANDS)}"
        why = door.refused or failed
        return Change(done=not why, why=why, summary=f"{told}.")

    def judge(self, say: Callable[[str], object] = no_word) -> str:
        """Why the checks do not accept the copy as it is now, and what they printed; empty if they do."""
        bench = self.bench()
        changed = bench.put_back()
        back = f"Put back, as it is read-only: {', '.join(changed)}\n" if changed else ""
        problems = bench.problems(say)
        self._best(bench, say)
        if not problems:
            return back
        proof = bench.prove(say)
        printed = "\n".join(f"$ {run.command}\n{run.output}" for run in proof.checks if not run.passes)
        return f"{back}{'; '.join(problems)}\n{printed}"

    def _best(self, bench: Bench, say: Callable[[str], object]) -> _Made | None:
        """The best tree so far, the present one among them; None if nothing was changed in any."""
        place = bench.copy.kept / "best.json"
        best = _Made.model_validate_json(place.read_bytes()) if place.exists() else None
        try:
            made = _made(bench, say) if bench.tree != bench.base_tree else None
        except FileRefused:
            return best
        if made is not None and (best is None or made.proof.score >= best.proof.score):
            best = made
            write_whole(place, best.model_dump_json().encode())
        return best

    def bench(self) -> Bench:
        """The copy that is worked on here."""
        return self._benches[place_of_work()]
