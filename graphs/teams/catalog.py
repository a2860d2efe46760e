"""The ready-made teams, by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple

from signoff.error_base import TeamError
from signoff.graphs.errors import UnknownTeam
from signoff.settings import Settings

if TYPE_CHECKING:
    from signoff.graphs.team import Builder, Team

OWN = "run module"
"""Where a run's options keep which module its team is from; no ready-made team has such an option."""


class ReadyMade(NamedTuple):
    """A ready-made team: its module, options that each of its runs keeps, and whether it declares an input.

    The module has `build(settings)` for new runs, `rebuild(options, settings)` for resuming, `graph()` for servers and
    `build_graph()` for drawings. With an input the team is the same for every run: what differs is in the input.
    """

    module: str
    options: frozenset[str] = frozenset()
    takes_input: bool = False
    reports: bool = True
    """Whether what comes of it without a model is a report."""


TEAMS = {
    "report": ReadyMade("signoff.graphs.teams.report", frozenset({"sources"})),
    "competitors": ReadyMade("signoff.graphs.teams.competitors", frozenset({"model"}), takes_input=True),
    "leads": ReadyMade("signoff.graphs.teams.leads", frozenset({"model"}), takes_input=True),
    "code": ReadyMade("signoff.graphs.teams.code", frozenset({"model"}), takes_input=True, reports=False),
    "refactor": ReadyMade("signoff.graphs.teams.refactor", frozenset({"model"}), takes_input=True, reports=False),
    "remediation": ReadyMade("signoff.graphs.teams.remediation", frozenset({"model"}), takes_input=True, reports=False),
}


def is_own(team: str) -> bool:
    """Whether this names a module, not a ready-made team."""
    return ":" in team or team.endswith(".py")


def takes_input(name: str) -> bool:
    """Whether this is a ready-made team that declares an input, so that its runs have options of its own."""
    return name in TEAMS and TEAMS[name].takes_input


def is_ready_made(name: str, options: Mapping[str, Any], *, recorded: bool = False) -> bool:
    """Whether a run's team is one of these: others may have its name. A recording does not hold all of the options."""
    return name in TEAMS and OWN not in options and (recorded or TEAMS[name].options <= options.keys())


def new_team(name: str, settings: Settings) -> Team:
    """The team by the settings, for new runs."""
    build: Callable[[Settings], Team] = _module(name).build
    return build(settings)


def rebuild_team(name: str, options: Mapping[str, Any], settings: Settings) -> Team:
    """The team that an earlier run was given to."""
    if name in TEAMS and not is_ready_made(name, options):
        raise TeamError(f"The run is of somebody's own team called {name!r}. Give it: Run.open(RUN, team=…).")
    rebuild: Callable[[Mapping[str, Any], Settings], Team] = _module(name).rebuild
    return rebuild(options, settings)


def team_graph(name: str) -> Builder:
    build: Callable[[], Builder] = _module(name).build_graph
    return build()


def _module(name: str) -> Any:
    if name not in TEAMS:
        raise UnknownTeam(name, sorted(TEAMS))
    return import_module(TEAMS[name].module)
