"""Errors of teams, policies and answers."""

from __future__ import annotations

from collections.abc import Sequence

from signoff.error_base import RunError, TeamError


class UnknownTeam(TeamError):
    """No ready-made team has this name."""

    def __init__(self, name: str, known: list[str]) -> None:
        self.name, self.known = name, known
        super().__init__(
            f"No ready-made team {name!r}, only {', '.join(known)}. "
            "A team of your own is named by its module, such as shop.teams:orders or path/to/shop.py:orders; "
            "in your program a run of it goes on with Run.open(RUN, team=…).resume()."
        )


class NotImportable(TeamError):
    """A team of somebody's own is not where its name says."""

    def __init__(self, named: str, problem: str, remedy: str, *, is_missing: bool = False) -> None:
        self.named, self.problem, self.remedy, self.is_missing = named, problem, remedy, is_missing
        super().__init__(f"Team {named!r}: {problem}. {remedy}.")


class NotTrusted(TeamError):
    """A database names a module that is not imported on its word alone."""

    def __init__(self, named: str, problem: str) -> None:
        self.named, self.problem = named, problem
        super().__init__(
            f"The database names the team {named!r}, which {problem} and is not imported unasked. "
            "Name it yourself if you know it: --team MODULE:NAME."
        )


class BadInput(TeamError, ValueError):  # of no other errors does LangGraph Server tell clients the text
    """What a team was given does not fit its input."""

    def __init__(self, team: str, field: str, problem: str) -> None:
        self.team, self.field, self.problem = team, field, problem
        super().__init__(
            f"Input of team {team!r}: {field} {problem}." if field else f"Input of team {team!r} {problem}."
        )


class InputChanged(TeamError):
    """What a run was given does not fit the input that its team takes now."""

    def __init__(self, kind: str, field: str, problem: str) -> None:
        self.kind, self.field, self.problem = kind, field, problem
        super().__init__(
            f"The run was given an input that {kind} does not take any more: {field} {problem}. "
            f"Change {kind} so that it does, such as by a default, or start another run."
        )


class TeamChanged(TeamError):
    """A run cannot go on with its team as that is now."""

    def __init__(self, run_id: str, team: str, began: str, now: str, problems: Sequence[str]) -> None:
        self.run_id, self.team, self.began, self.now, self.problems = run_id, team, began, now, tuple(problems)
        before, after = (f"version {version!r}" if version else "a version without a name" for version in (began, now))
        super().__init__(
            f"Run {run_id!r} is at {before} of team {team!r}, and cannot go on with {after}: {'; '.join(problems)}. "
            "Bring back the team that it began with, give this one Team(migrate=…), or cancel the run."
        )


class Undecidable(TeamError):
    """A pattern of a policy cannot tell whether a value fits; `why` says what the value is, such as `is missing`."""

    def __init__(self, why: str) -> None:
        self.why = why
        super().__init__(why)


class BadAnswer(RunError):
    """An answer that does not decide anything; the question stays open."""

    def __init__(self, problem: str) -> None:
        self.problem = problem
        super().__init__(f"{problem} Nothing was decided.")
