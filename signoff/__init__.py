"""signoff: supervised teams of agents on LangGraph. Agents do the work, people sign off.

Names are loaded on first use, so that `import signoff` costs nothing.
"""

from signoff.exports import TYPE_CHECKING, offer
from signoff.installation import VERSION

if TYPE_CHECKING:
    from signoff.agents import Agent as Agent, Artifact as Artifact, Draft as Draft
    from signoff.agents import Each as Each, Evidence as Evidence, Limits as Limits, Review as Review
    from signoff.agents import Row as Row, Task as Task, Verdict as Verdict
    from signoff.agents.models import load_models as load_models
    from signoff.checkpoints import open_saver as open_saver
    from signoff.checkpoints.ledger import Ledger as Ledger
    from signoff.checkpoints.ledger.budgets import Budget as Budget
    from signoff.checkpoints.ledger.notifications import CommandHook as CommandHook, Webhook as Webhook
    from signoff.checkpoints.saver import SqliteCheckpointer as SqliteCheckpointer
    from signoff.error_base import SignoffError as SignoffError
    from signoff.fleet import Run as Run
    from signoff.graphs import Team as Team
    from signoff.graphs.nodes import Supervisor as Supervisor
    from signoff.graphs.policy import Above as Above, Ask as Ask, Below as Below, Between as Between, Exactly as Exactly
    from signoff.graphs.policy import Matches as Matches, Not as Not, OneOf as OneOf, Policy as Policy, Rate as Rate
    from signoff.graphs.policy import When as When
    from signoff.graphs.teams import report_team as report_team
    from signoff.settings import Settings as Settings
    from signoff.tools import Action as Action, Proposal as Proposal
    from signoff.tools.broker import SecretName as SecretName
    from signoff.tools.search import Sources as Sources
    from signoff.tools.tool import tool as tool

    __all__: list[str]
offer(__name__)

__version__ = VERSION
