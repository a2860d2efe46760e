"""An act node as it is often written: it looks whether the action was done, does it, and writes it down afterwards."""

from typing import Any

from langgraph.types import Command
from payments import Bank, Payment

from signoff import Ledger
from signoff.checkpoints.process_identity import current_owner
from signoff.graphs.state import TeamState, settle_first


def with_naive_act(builder: Any, bank: Bank, ledger: Ledger) -> Any:
    """The team's graph with this act node."""

    def act(state: TeamState) -> Command[Any]:
        proposal = state["proposals"][0]
        approval = ledger.approvals.of_proposal(proposal["id"])
        assert approval is not None
        if not ledger.effects.of_run(approval.run_id):
            result = bank.pay(Payment(**approval.args), "no key")
            claim = ledger.effects.claim(approval, owner=current_owner())
            ledger.effects.finish(claim.effect.key, result)
        return Command(goto="supervisor", update=settle_first(state, "done", by="nobody"))

    del builder.nodes["act"]
    return builder.add_node("act", act, destinations=("gate", "supervisor"))
