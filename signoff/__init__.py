"""signoff: supervised teams of agents on LangGraph. Agents do the work, people sign off.

Names are loaded on first use, so that `import signoff` costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from signoff.version import VERSION

if TYPE_CHECKING:
    from signoff.agents.agent import Agent, Limits, Task
    from signoff.agents.artifacts import Analysis, Artifact, Draft, Evidence, Quote, Review, Verdict
    from signoff.agents.models.registry import load_models
    from signoff.checkpoints.ledger.budgets.model import Budget
    from signoff.checkpoints.ledger.ledger import Ledger
    from signoff.checkpoints.ledger.notifications.hooks import CommandHook, Webhook
    from signoff.checkpoints.opening import open_saver
    from signoff.checkpoints.saver.saver import SqliteCheckpointer
    from signoff.errors import SignoffError
    from signoff.fleet.run import Run
    from signoff.graphs.nodes.supervisor import Supervisor
    from signoff.graphs.policy.patterns import Above, Below, Between, Exactly, Matches, Not, OneOf
    from signoff.graphs.policy.policy import Policy, Rate
    from signoff.graphs.policy.rules import Ask, When
    from signoff.graphs.team import Team
    from signoff.graphs.teams.report import report_team
    from signoff.settings import Settings
    from signoff.tools.action import Action, Proposal
    from signoff.tools.search.sources import Sources
    from signoff.tools.tool import tool

__version__ = VERSION

__all__ = [
    "Above",
    "Action",
    "Agent",
    "Analysis",
    "Artifact",
    "Ask",
    "Below",
    "Between",
    "Budget",
    "CommandHook",
    "Draft",
    "Evidence",
    "Exactly",
    "Ledger",
    "Limits",
    "Matches",
    "Not",
    "OneOf",
    "Policy",
    "Proposal",
    "Quote",
    "Rate",
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
    "Webhook",
    "When",
    "load_models",
    "open_saver",
    "report_team",
    "tool",
]

_HOMES = {
    "Above": "graphs.policy.patterns",
    "Action": "tools.action",
    "Agent": "agents.agent",
    "Analysis": "agents.artifacts",
    "Artifact": "agents.artifacts",
    "Ask": "graphs.policy.rules",
    "Below": "graphs.policy.patterns",
    "Between": "graphs.policy.patterns",
    "Budget": "checkpoints.ledger.budgets.model",
    "CommandHook": "checkpoints.ledger.notifications.hooks",
    "Draft": "agents.artifacts",
    "Evidence": "agents.artifacts",
    "Exactly": "graphs.policy.patterns",
    "Ledger": "checkpoints.ledger.ledger",
    "Limits": "agents.agent",
    "Matches": "graphs.policy.patterns",
    "Not": "graphs.policy.patterns",
    "OneOf": "graphs.policy.patterns",
    "Policy": "graphs.policy.policy",
    "Proposal": "tools.action",
    "Quote": "agents.artifacts",
    "Rate": "graphs.policy.policy",
    "Review": "agents.artifacts",
    "Run": "fleet.run",
    "Settings": "settings",
    "SignoffError": "errors",
    "Sources": "tools.search.sources",
    "SqliteCheckpointer": "checkpoints.saver.saver",
    "Supervisor": "graphs.nodes.supervisor",
    "Task": "agents.agent",
    "Team": "graphs.team",
    "Verdict": "agents.artifacts",
    "Webhook": "checkpoints.ledger.notifications.hooks",
    "When": "graphs.policy.rules",
    "load_models": "agents.models.registry",
    "open_saver": "checkpoints.opening",
    "report_team": "graphs.teams.report",
    "tool": "tools.tool",
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
