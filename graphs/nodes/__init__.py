"""The nodes of a team's graph: intake, supervisor, agents, gate, act."""

from signoff.exports import TYPE_CHECKING, offer

if TYPE_CHECKING:
    from signoff.graphs.nodes.intake import read_goal as read_goal, stop_run as stop_run
    from signoff.graphs.nodes.supervisor import Supervisor as Supervisor
offer(__name__)
