"""Errors of teams, policies and answers."""

from __future__ import annotations

from signoff.error_base import RunError, TeamError


class UnknownTeam(TeamError):
    """No ready-made team has this name."""

    def __init__(self, name: str, known: list[str]) -> None:
        self.name, self.known = name, known
        super().__init__(
            f"No ready-made team {name!r}, only {', '.join(known)}. "
            "A run of a team of your own goes on in your program: Run.open(RUN, team=…).resume()."
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
