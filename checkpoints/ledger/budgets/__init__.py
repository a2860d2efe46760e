"""Budgets: reserved before a call, settled after it, and a row for each call."""

from signoff.exports import TYPE_CHECKING, offer

if TYPE_CHECKING:
    from signoff.checkpoints.ledger.budgets.reservations import Hold as Hold
    from signoff.checkpoints.ledger.budgets.amounts import Amount as Amount, Budget as Budget, CallRecord as CallRecord
    from signoff.checkpoints.ledger.budgets.amounts import NANO as NANO, NO_LIMIT as NO_LIMIT, Scope as Scope
    from signoff.checkpoints.ledger.budgets.amounts import budget_of as budget_of, nano_dollars as nano_dollars
    from signoff.checkpoints.ledger.budgets.amounts import scopes_of as scopes_of
    from signoff.checkpoints.ledger.budgets.spending import Kind as Kind, Spent as Spent
offer(__name__)
