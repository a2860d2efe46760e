"""signoff: supervised teams of agents on LangGraph. Agents do the work, people sign off.

Names are loaded on first use, so that `import signoff` costs nothing.
"""

from typing import TYPE_CHECKING

from signoff.exports import lazy_exports
from signoff.version import VERSION

if TYPE_CHECKING:
    from signoff.agents import Agent as Agent
    from signoff.agents import Limits as Limits
    from signoff.agents import Task as Task
    from signoff.agents import Analysis as Analysis
    from signoff.agents import Artifact as Artifact
    from signoff.agents import Draft as Draft
    from signoff.agents import Evidence as Evidence
    from signoff.agents import Quote as Quote
    from signoff.agents import Review as Review
    from signoff.agents import Verdict as Verdict
    from signoff.agents.models import load_models as load_models
    from signoff.checkpoints.ledger.budgets import Budget as Budget
    from signoff.checkpoints.ledger import Ledger as Ledger
    from signoff.checkpoints.ledger.notifications import CommandHook as CommandHook
    from signoff.checkpoints.ledger.notifications import Webhook as Webhook
    from signoff.checkpoints import open_saver as open_saver
    from signoff.checkpoints.saver import SqliteCheckpointer as SqliteCheckpointer
    from signoff.error_base import SignoffError as SignoffError
    from signoff.fleet import Run as Run
    from signoff.graphs.nodes import Supervisor as Supervisor
    from signoff.graphs.policy import Above as Above
    from signoff.graphs.policy import Below as Below
    from signoff.graphs.policy import Between as Between
    from signoff.graphs.policy import Exactly as Exactly
    from signoff.graphs.policy import Matches as Matches
    from signoff.graphs.policy import Not as Not
    from signoff.graphs.policy import OneOf as OneOf
    from signoff.graphs.policy import Policy as Policy
    from signoff.graphs.policy import Rate as Rate
    from signoff.graphs.policy import Ask as Ask
    from signoff.graphs.policy import When as When
    from signoff.graphs import Team as Team
    from signoff.graphs.teams import report_team as report_team
    from signoff.settings import Settings as Settings
    from signoff.tools import Action as Action
    from signoff.tools import Proposal as Proposal
    from signoff.tools.search import Sources as Sources
    from signoff.tools.tool import tool as tool

    __all__: list[str]
else:
    __getattr__, __dir__, __all__ = lazy_exports(__name__)

__version__ = VERSION
