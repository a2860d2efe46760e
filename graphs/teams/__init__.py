"""The ready-made teams, and where they are found by name."""

from typing import TYPE_CHECKING

from signoff.exports import lazy_exports

if TYPE_CHECKING:
    from signoff.graphs.teams.catalog import TEAMS as TEAMS, rebuild_team as rebuild_team, team_graph as team_graph
    from signoff.graphs.teams.report import report_team as report_team
else:
    __getattr__, __dir__, __all__ = lazy_exports(__name__)
