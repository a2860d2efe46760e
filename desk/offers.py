"""The teams that are served: those that clients may start runs of, and those of the runs that are there."""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Final

from pydantic import BaseModel, Field
from rich.console import Console

from signoff.checkpoints import canonical_json, read_once
from signoff.checkpoints.ledger import Approval, Ledger, RunRecord
from signoff.desk.cli.terminal import say
from signoff.desk.team_options import is_known, team_of_run
from signoff.error_base import SettingsError, TeamError
from signoff.fleet import OF_RUN, Run
from signoff.graphs import Team
from signoff.graphs.approval import CONTROLS
from signoff.graphs.errors import UnknownTeam
from signoff.graphs.teams import OWN, TEAMS, is_own, load_team, new_team, rebuild_team, takes_input
from signoff.settings import Settings
from signoff.tools import Action

_MOST_TEAMS: Final = 64
"""Teams that are kept in memory, as they are asked for often and building one takes a moment."""


class GoalInput(BaseModel):
    """A team that takes a goal."""

    goal: str = Field(min_length=1, description="What the team is to do")


@dataclass(frozen=True)
class Offer:
    """A team that clients may start runs of."""

    team: str | Team
    """Somebody's own, or one that declares an input; or the name of one that is made by the settings for each run."""

    @classmethod
    def named(cls, named: str, settings: Settings) -> Offer:
        """The team that somebody names, by MODULE:NAME or as a ready-made one."""
        if takes_input(named):
            return cls(new_team(named, settings))
        if named not in TEAMS and not is_own(named):
            raise UnknownTeam(named, sorted(TEAMS))
        return cls(named if named in TEAMS else load_team(named, settings).team)

    @property
    def name(self) -> str:
        """What its runs say that they are of."""
        return self.team if isinstance(self.team, str) else self.team.name

    @property
    def slug(self) -> str:
        """Its name in addresses."""
        return re.sub(r"[^a-z0-9]+", "-", self.name.lower()).strip("-") or "team"

    @property
    def about(self) -> str:
        """What it does, in a sentence or two."""
        written = " ".join((self.takes.__dict__.get("__doc__") or "").split()) if self.takes is not GoalInput else ""
        return written or f"The supervised team {self.name!r}: give it a goal. People sign off what it does outside."

    @cached_property
    def takes(self) -> type[BaseModel]:
        """What a run is given."""
        return GoalInput if isinstance(self.team, str) or self.team.input is None else self.team.input

    def read(self, text: str) -> str | dict[str, Any]:
        """What somebody says in words, as a run is given it: a goal, or all fields of the input as JSON."""
        if self.takes is GoalInput or not text.lstrip().startswith("{"):
            return text
        try:
            found = read_once(text)
        except ValueError:
            return text
        return found if isinstance(found, dict) else text

    def make(self, settings: Settings) -> Team:
        """The team, for a new run."""
        return new_team(self.team, settings) if isinstance(self.team, str) else self.team

    def has(self, record: RunRecord) -> bool:
        """Whether a run is one of this team."""
        own = {} if isinstance(self.team, str) else self.team.options
        return record.team == self.name and record.options.get(OWN) == own.get(OWN)


def read_offers(named: Sequence[str], settings: Settings) -> list[Offer]:
    """The teams of these names; SettingsError if two could not be told apart in addresses."""
    return checked([Offer.named(one, settings) for one in named])


def checked(offers: list[Offer]) -> list[Offer]:
    """The same; SettingsError if two of them could not be told apart in addresses."""
    for number, offer in enumerate(offers):
        if any(other.slug == offer.slug for other in offers[:number]):
            raise SettingsError(
                "--team", f"two teams are called {offer.slug!r}", "Give one another name: Team(name=…)."
            )
    return offers


class TeamCache:
    """The teams of the runs of one ledger, each built once for all runs that have it alike."""

    def __init__(self, settings: Settings, ledger: Ledger) -> None:
        self._settings, self._ledger = settings, ledger
        self._teams: OrderedDict[str, Team | str] = OrderedDict()

    def of(self, record: RunRecord, offers: Sequence[Offer] = ()) -> Team | str:
        """The team of a run, or why it cannot be had here."""
        for offer in offers:
            if not isinstance(offer.team, str) and offer.has(record):
                return replace(offer.team, ledger=self._ledger)
        alike = {name: value for name, value in record.options.items() if name not in OF_RUN}
        key = canonical_json([record.team, alike])
        if key not in self._teams:
            if len(self._teams) >= _MOST_TEAMS:
                self._teams.popitem(last=False)
            self._teams[key] = self._build(record, alike)
        return self._teams[key]

    def _build(self, record: RunRecord, options: Mapping[str, Any]) -> Team | str:
        if not is_known(record):
            return "The team is in a program of somebody's own, which alone knows its actions."
        try:
            team = team_of_run(record, self._settings) or rebuild_team(record.team, options, self._settings)
        except (TeamError, SettingsError) as error:
            say(Console(stderr=True), f"Shown without what its team would add. {error}")
            return str(error)
        return replace(team, ledger=self._ledger)

    def action_of(
        self, approval: Approval, record: RunRecord, offers: Sequence[Offer] = ()
    ) -> tuple[Action[Any] | None, str]:
        """What an approval of this run is about; None if only another program knows, and why."""
        if approval.action in CONTROLS:
            return CONTROLS[approval.action], ""
        team = self.of(record, offers)
        if isinstance(team, str):
            return None, team
        return team.team_at([role for _, role in approval.path]).actions.get(approval.action), ""

    def open(self, record: RunRecord, offers: Sequence[Offer] = ()) -> Run:
        """The run with its team, to decide or go on with it; TeamError where that cannot be had here."""
        team = self.of(record, offers)
        if isinstance(team, str):
            raise TeamError(f"Run {record.id!r} cannot go on here. {team}")
        return Run.open(record.id, team=team, settings=self._settings)
