"""Questions to people: how they are opened, answered and decided."""

from signoff.exports import TYPE_CHECKING, offer

if TYPE_CHECKING:
    from signoff.graphs.approval.answers import Decision as Decision, read_answer as read_answer
    from signoff.graphs.approval.answers import read_edit as read_edit
    from signoff.graphs.approval.answers import read_reply as read_reply, say_reply as say_reply
    from signoff.graphs.approval.batch import MOST as MOST, batch_of as batch_of, batch_sha256 as batch_sha256
    from signoff.graphs.approval.batch import is_batched as is_batched
    from signoff.graphs.approval.decision import Result as Result, decide as decide, decide_each as decide_each
    from signoff.graphs.approval.description import MANY as MANY, Passage as Passage, cautions_of as cautions_of
    from signoff.graphs.approval.description import describe as describe, exactly as exactly, in_a_line as in_a_line
    from signoff.graphs.approval.description import passages_of as passages_of, question_payload as question_payload
    from signoff.graphs.approval.description import standing_after as standing_after
    from signoff.graphs.approval.enforcement import first_decided as first_decided
    from signoff.graphs.approval.questions import CONTROLS as CONTROLS
offer(__name__)
