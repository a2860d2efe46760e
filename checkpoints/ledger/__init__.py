"""The ledger: runs, approvals, effects, budgets, usage and the audit log."""

from signoff.exports import TYPE_CHECKING, offer

if TYPE_CHECKING:
    from signoff.checkpoints.ledger.approval import Approval as Approval, Authority as Authority, Person as Person
    from signoff.checkpoints.ledger.approval import Question as Question, Requirement as Requirement
    from signoff.checkpoints.ledger.approval import SETTLE_OUTCOME as SETTLE_OUTCOME, WAYS_TO_SETTLE as WAYS_TO_SETTLE
    from signoff.checkpoints.ledger.audit_log import EMPTY as EMPTY, Head as Head
    from signoff.checkpoints.ledger.effects import Effect as Effect, Outcome as Outcome
    from signoff.checkpoints.ledger.ledger import Ledger as Ledger
    from signoff.checkpoints.ledger.rate_limits import KINDS as KINDS, Kind as Kind, LEAD as LEAD, News as News
    from signoff.checkpoints.ledger.rate_limits import PrivateRates as PrivateRates, RateLimit as RateLimit
    from signoff.checkpoints.ledger.rate_limits import RateState as RateState, RateStore as RateStore, Rates as Rates
    from signoff.checkpoints.ledger.rate_limits import SPAN as SPAN, find_room as find_room, hear as hear
    from signoff.checkpoints.ledger.rate_limits import open_up as open_up, refuse as refuse, settle as settle
    from signoff.checkpoints.ledger.rate_limits import take as take
    from signoff.checkpoints.ledger.runs import (
        Fenceable as Fenceable,
        RUN_INPUT as RUN_INPUT,
        RunRecord as RunRecord,
        Status as Status,
    )
    from signoff.checkpoints.ledger.schema import LEDGER_TABLES as LEDGER_TABLES
offer(__name__)
