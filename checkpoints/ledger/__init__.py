"""The ledger: runs, approvals, effects, budgets, usage and the audit log."""

from signoff.exports import TYPE_CHECKING, offer

if TYPE_CHECKING:
    from signoff.checkpoints.ledger.approval import Approval as Approval, Authority as Authority, Person as Person
    from signoff.checkpoints.ledger.approval import QUESTION as QUESTION, Question as Question
    from signoff.checkpoints.ledger.approval import Requirement as Requirement
    from signoff.checkpoints.ledger.approval import SETTLE_OUTCOME as SETTLE_OUTCOME, WAYS_TO_SETTLE as WAYS_TO_SETTLE
    from signoff.checkpoints.ledger.audit_log import EMPTY as EMPTY, Head as Head
    from signoff.checkpoints.ledger.effects import Effect as Effect, Outcome as Outcome
    from signoff.checkpoints.ledger.ledger import Ledger as Ledger
    from signoff.checkpoints.ledger.pacing import Flow as Flow, KINDS as KINDS, LONGEST_WINDOW as LONGEST_WINDOW
    from signoff.checkpoints.ledger.pacing import (
        OPEN_PACE as OPEN_PACE,
        WINDOWS as WINDOWS,
        SPAN as SPAN,
        Kind as Kind,
        News as News,
    )
    from signoff.checkpoints.ledger.pacing import RateLimit as RateLimit, RateState as RateState, Refusal as Refusal
    from signoff.checkpoints.ledger.pacing import (
        LEASE as LEASE,
        NOWHERE as NOWHERE,
        Turn as Turn,
        hear as hear,
        hold as hold,
    )
    from signoff.checkpoints.ledger.pacing import count as count, refuse as refuse, report as report, take as take
    from signoff.checkpoints.ledger.rate_limits import PrivateRates as PrivateRates, Rates as Rates
    from signoff.checkpoints.ledger.rate_limits import RateStore as RateStore
    from signoff.checkpoints.ledger.run_path import RUN_CHILD as RUN_CHILD, told_of as told_of
    from signoff.checkpoints.ledger.runs import (
        Fenceable as Fenceable,
        DONE_WITHOUT as DONE_WITHOUT,
        RUN_INPUT as RUN_INPUT,
        RunRecord as RunRecord,
        Status as Status,
    )
    from signoff.checkpoints.ledger.schema import LEDGER_TABLES as LEDGER_TABLES
offer(__name__)
