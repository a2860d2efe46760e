"""The ledger: runs, approvals, effects, budgets, usage and the audit log."""

from signoff.exports import TYPE_CHECKING, offer

if TYPE_CHECKING:
    from signoff.checkpoints.ledger.approval import EVERYBODY as EVERYBODY, OF_ALL_TENANTS as OF_ALL_TENANTS
    from signoff.checkpoints.ledger.approval import Approval as Approval, Authority as Authority, Person as Person
    from signoff.checkpoints.ledger.approval import QUESTION as QUESTION, Question as Question
    from signoff.checkpoints.ledger.approval import Requirement as Requirement
    from signoff.checkpoints.ledger.approval import SETTLE_OUTCOME as SETTLE_OUTCOME, WAYS_TO_SETTLE as WAYS_TO_SETTLE
    from signoff.checkpoints.ledger.audit_log import EMPTY as EMPTY, Entry as Entry, Head as Head
    from signoff.checkpoints.ledger.effects import Effect as Effect, Outcome as Outcome
    from signoff.checkpoints.ledger.inbox import (
        COUNTED as COUNTED,
        Counts as Counts,
        Listed as Listed,
        PAGE as PAGE,
        Page as Page,
    )
    from signoff.checkpoints.ledger.inbox import Tab as Tab
    from signoff.checkpoints.ledger.ledger import Ledger as Ledger
    from signoff.checkpoints.ledger.people import Key as Key
    from signoff.checkpoints.ledger.rates.pacing import Flow as Flow, KINDS as KINDS, LONGEST_WINDOW as LONGEST_WINDOW
    from signoff.checkpoints.ledger.rates.pacing import OPEN_PACE as OPEN_PACE, SPAN as SPAN, WINDOWS as WINDOWS
    from signoff.checkpoints.ledger.rates.pacing import Kind as Kind, News as News, RateLimit as RateLimit
    from signoff.checkpoints.ledger.rates.pacing import RateState as RateState, Refusal as Refusal, Turn as Turn
    from signoff.checkpoints.ledger.rates.pacing import LEASE as LEASE, NOWHERE as NOWHERE
    from signoff.checkpoints.ledger.rates.pacing import count as count, hear as hear, hold as hold, refuse as refuse
    from signoff.checkpoints.ledger.rates.pacing import report as report, take as take
    from signoff.checkpoints.ledger.rates.rate_limits import PrivateRates as PrivateRates, Rates as Rates
    from signoff.checkpoints.ledger.rates.rate_limits import RateStore as RateStore
    from signoff.checkpoints.ledger.run_path import RUN_CHILD as RUN_CHILD, told_of as told_of
    from signoff.checkpoints.ledger.runs import (
        Fenceable as Fenceable,
        DONE_WITHOUT as DONE_WITHOUT,
        RUN_CLIENT as RUN_CLIENT,
        RUN_DRY as RUN_DRY,
        RUN_INPUT as RUN_INPUT,
        RunRecord as RunRecord,
        Status as Status,
    )
    from signoff.checkpoints.ledger.schema import LEDGER_TABLES as LEDGER_TABLES, RUN_FORK as RUN_FORK
    from signoff.checkpoints.ledger.schema import RUN_TENANT as RUN_TENANT
offer(__name__)
