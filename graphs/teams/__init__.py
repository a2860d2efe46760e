"""The ready-made teams, and where they are found by name."""

from signoff.exports import TYPE_CHECKING, offer

if TYPE_CHECKING:
    from signoff.graphs.teams.catalog import OWN as OWN, TEAMS as TEAMS, ReadyMade as ReadyMade
    from signoff.graphs.teams.catalog import is_own as is_own, is_ready_made as is_ready_made
    from signoff.graphs.teams.catalog import new_team as new_team, rebuild_team as rebuild_team
    from signoff.graphs.teams.catalog import takes_input as takes_input, team_graph as team_graph
    from signoff.graphs.teams.code import CodeInput as CodeInput, code_team as code_team
    from signoff.graphs.teams.entries import server_graph as server_graph
    from signoff.graphs.teams.own import MODEL as MODEL, with_model as with_model
    from signoff.graphs.teams.own import TeamModule as TeamModule, load_stored as load_stored, load_team as load_team
    from signoff.graphs.teams.refactor import RefactorInput as RefactorInput, refactor_team as refactor_team
    from signoff.graphs.teams.remediation import (
        RemediationInput as RemediationInput,
        remediation_team as remediation_team,
    )
    from signoff.graphs.teams.report import report_team as report_team
offer(__name__)
