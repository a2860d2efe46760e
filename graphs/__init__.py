"""How work flows: the team, its state, its nodes, who works next, what is allowed, and the ready-made teams."""

from typing import TYPE_CHECKING

from signoff.exports import lazy_exports

if TYPE_CHECKING:
    from signoff.graphs.state import PlanStep as PlanStep, RAISE_BUDGET as RAISE_BUDGET, TeamState as TeamState
    from signoff.graphs.team import Team as Team
else:
    __getattr__, __dir__, __all__ = lazy_exports(__name__)
