"""The ready-made teams, and where they are found by name."""

from signoff.exports import TYPE_CHECKING, offer

if TYPE_CHECKING:
    from signoff.graphs.teams.catalog import TEAMS as TEAMS, rebuild_team as rebuild_team, team_graph as team_graph
    from signoff.graphs.teams.report import report_team as report_team
offer(__name__)
