"""What agents can do: tools that only read or work in a sandbox, and actions that wait for people."""

from signoff.exports import TYPE_CHECKING, offer

if TYPE_CHECKING:
    from signoff.tools.action import Act as Act, Action as Action, Proposal as Proposal, Words as Words
    from signoff.tools.action import acting as acting, ask_person as ask_person, form_fields as form_fields
    from signoff.tools.publishing import Attachment as Attachment, Publication as Publication
    from signoff.tools.publishing import format_of as format_of, publish_report as publish_report
    from signoff.tools.tool import (
        Signed as Signed,
        IdempotencyKey as IdempotencyKey,
        LOOP_RISKS as LOOP_RISKS,
        Tool as Tool,
    )
    from signoff.tools.tool import ToolLimits as ToolLimits, Touches as Touches
offer(__name__)
