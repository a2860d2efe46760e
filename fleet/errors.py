"""Errors of the handle of a run."""

from __future__ import annotations

from collections.abc import Sequence

from signoff.error_base import RunError


class NothingAsked(RunError):
    """The run waits for no decision."""

    def __init__(self, run_id: str, status: str) -> None:
        self.run_id, self.status = run_id, status
        super().__init__(f"Run {run_id!r} asks nothing: it is {status}. `signoff show {run_id}` tells more.")


class NotSeen(RunError):
    """The run asks something by now that whoever decides has not seen."""

    def __init__(self, run_id: str, asked: Sequence[str]) -> None:
        self.run_id, self.asked = run_id, tuple(asked)
        few = [*asked[:5], "…"] if len(asked) > 5 else asked
        super().__init__(
            f"Run {run_id!r} asks by now: {', '.join(few)}. This handle has not shown that yet. Nothing was decided: "
            "look at run.asked, or at the run, then decide."
        )


class SeveralAsked(RunError):
    """The run waits for several decisions, and none was named."""

    def __init__(self, run_id: str, asked: Sequence[str], alike: int = 1) -> None:
        self.run_id, self.asked = run_id, tuple(asked)
        together = f", or all {alike} of one kind: approval=run.alike()" if alike > 1 else ""
        few = [*asked[:5], "…"] if len(asked) > 5 else asked
        super().__init__(f"Run {run_id!r} asks {len(asked)} things: {', '.join(few)}. Name one: approval=ID{together}.")


class RunExists(RunError):
    """A run of this id began before."""

    def __init__(self, run_id: str) -> None:
        self.run_id = run_id
        super().__init__(f"There is a run {run_id!r} already: go on with it by Run.open({run_id!r}).")


class NotAllDecided(RunError):
    """Several questions were answered at once, and not each answer counted; the others were decided."""

    def __init__(self, run_id: str, decided: int, problems: Sequence[str]) -> None:
        self.run_id, self.decided, self.problems = run_id, decided, tuple(problems)
        super().__init__(
            f"Of the questions of run {run_id!r}, {decided} were decided and {len(problems)} not. {' '.join(problems)} "
            f"`signoff resume {run_id}`, or run.resume(), goes on with what was decided."
        )


class NoArtifact(RunError):
    """The run has no artifact of this name."""

    def __init__(self, run_id: str, status: str, name: str, there: Sequence[str]) -> None:
        self.run_id, self.name, self.there = run_id, name, tuple(there)
        found = f"it has {', '.join(there)}" if there else "it has none yet"
        super().__init__(f"Run {run_id!r}, which is {status}, has no artifact {name!r}: {found}.")


class RunElsewhere(RunError):
    """The run's checkpoints are kept by another program, such as a LangGraph Server."""

    def __init__(self, run_id: str) -> None:
        self.run_id = run_id
        super().__init__(
            f"Run {run_id!r} is driven by another program, which keeps its checkpoints. "
            "Decisions are in the ledger; resume the thread there and it will find them."
        )


class OwnInterrupt(RunError):
    """Something in an agent called LangGraph's interrupt() itself, which a Run has no answer for."""

    def __init__(self, run_id: str, value: object) -> None:
        self.run_id, self.value = run_id, value
        super().__init__(
            f"Run {run_id!r}: an agent, or a tool in its loop, called interrupt({value!r:.200}) itself, which no "
            "approval answers. Ask with signoff.tools.ask_person, or use the team as a graph: "
            "team.compile(checkpointer=…), which goes on with Command(resume=…)."
        )


class ChildRun(RunError):
    """The run is the work of an agent in another one, and goes on with that."""

    def __init__(self, run_id: str, root: str, told: str) -> None:
        self.run_id, self.root = run_id, root
        super().__init__(
            f"Run {run_id!r} is {told}, and goes on with that: `signoff resume {root}`, or Run.open({root!r}). "
            f"`signoff show {run_id}` tells how it stands."
        )


class NoSuchStep(RunError):
    """The run did not stand at the moment that a fork is to begin at."""

    def __init__(self, run_id: str, at: str) -> None:
        self.run_id, self.at = run_id, at
        super().__init__(
            f"Run {run_id!r} has no step {at!r:.60} to go on from. `signoff fork {run_id}` lists those it has."
        )


class RunEnded(RunError):
    """The run has ended: there is nothing to cancel."""

    def __init__(self, run_id: str, status: str) -> None:
        self.run_id, self.status = run_id, status
        super().__init__(f"Run {run_id!r} has ended: it is {status}. `signoff show {run_id}` tells what came of it.")


class OwnModels(RunError):
    """The run's team has models of its own."""

    def __init__(self, run_id: str, team: str) -> None:
        self.run_id, self.team = run_id, team
        super().__init__(
            f"The team {team!r} of run {run_id!r} brings its own models: change them where it is made, then resume."
        )


class CannotExport(RunError):
    """A run cannot be made a test of."""

    def __init__(self, run_id: str, problem: str) -> None:
        self.run_id, self.problem = run_id, problem
        super().__init__(f"Run {run_id!r} cannot be exported as a test: {problem}. Nothing was written.")


class BadLine(RunError):
    """A line of a file of jobs is no job."""


class BadCases(RunError):
    """A file of cases has none, or lines that are none."""

    def __init__(self, source: str, problems: Sequence[str]) -> None:
        self.source, self.problems = source, tuple(problems)
        if not problems:
            super().__init__(f"There are no cases in {source!r}. Write a line of JSON for each.")
            return
        more = f" And {len(problems) - 3} more." if len(problems) > 3 else ""
        super().__init__(f"{source!r}, line {'; line '.join(problems[:3])}.{more} Nothing was run; mend that first.")


class BadCheck(RunError):
    """A case names a check that there is not, or a file of checks cannot be used."""

    def __init__(self, named: str, problem: str, remedy: str) -> None:
        self.named, self.problem = named, problem
        super().__init__(f"Check {named!r}: {problem}. {remedy}.")


class BadEvaluation(RunError):
    """What was written of an evaluation cannot be read."""

    def __init__(self, path: str, problem: str) -> None:
        self.path, self.problem = path, problem
        super().__init__(f"{path!r} is no evaluation: {problem}. Name the JSON that `signoff eval --json` wrote.")
