"""signoff: supervised teams of agents on LangGraph. Agents do the work, people sign off.

Names are loaded on first use, so that `import signoff` costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from signoff.agents.agent import Agent, Limits, Task
    from signoff.agents.artifacts import Analysis, Artifact, Draft, Evidence, Quote, Review, Verdict
    from signoff.checkpoints.ledger import Ledger
    from signoff.checkpoints.opening import open_saver
    from signoff.checkpoints.saver import SqliteCheckpointer
    from signoff.errors import SignoffError
    from signoff.fleet.run import Run
    from signoff.graphs.policy import Ask, Policy
    from signoff.graphs.report import report_team
    from signoff.graphs.supervisor import Supervisor
    from signoff.graphs.team import Team
    from signoff.settings import Settings
    from signoff.tools.action import Action, Proposal
    from signoff.tools.sources import Sources

__version__ = "0.1.0"

__all__ = [
    "Action",
    "Agent",
    "Analysis",
    "Artifact",
    "Ask",
    "Draft",
    "Evidence",
    "Ledger",
    "Limits",
    "Policy",
    "Proposal",
    "Quote",
    "Review",
    "Run",
    "Settings",
    "SignoffError",
    "Sources",
    "SqliteCheckpointer",
    "Supervisor",
    "Task",
    "Team",
    "Verdict",
    "open_saver",
    "report_team",
]

_HOMES = {
    "Action": "tools.action",
    "Agent": "agents.agent",
    "Analysis": "agents.artifacts",
    "Artifact": "agents.artifacts",
    "Ask": "graphs.policy",
    "Draft": "agents.artifacts",
    "Evidence": "agents.artifacts",
    "Ledger": "checkpoints.ledger",
    "Limits": "agents.agent",
    "Policy": "graphs.policy",
    "Proposal": "tools.action",
    "Quote": "agents.artifacts",
    "Review": "agents.artifacts",
    "Run": "fleet.run",
    "Settings": "settings",
    "SignoffError": "errors",
    "Sources": "tools.sources",
    "SqliteCheckpointer": "checkpoints.saver",
    "Supervisor": "graphs.supervisor",
    "Task": "agents.agent",
    "Team": "graphs.team",
    "Verdict": "agents.artifacts",
    "open_saver": "checkpoints.opening",
    "report_team": "graphs.report",
}


def __getattr__(name: str) -> Any:
    """Load a public name on its first use."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
