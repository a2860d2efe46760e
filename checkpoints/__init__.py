"""What is remembered: the LangGraph saver and the ledger."""

from signoff.exports import TYPE_CHECKING, offer

if TYPE_CHECKING:
    from signoff.checkpoints.canonical import canonical_json as canonical_json, check_storable as check_storable
    from signoff.checkpoints.canonical import digest as digest, digest_text as digest_text, is_same as is_same
    from signoff.checkpoints.canonical import later as later
    from signoff.checkpoints.canonical import moment_of as moment_of, seconds_since as seconds_since, today as today
    from signoff.checkpoints.canonical import read_once as read_once, readable_text as readable_text
    from signoff.checkpoints.opening import CurrentLedger as CurrentLedger
    from signoff.checkpoints.opening import configured_ledger as configured_ledger, configured_saver as configured_saver
    from signoff.checkpoints.opening import open_saver as open_saver
    from signoff.checkpoints.process_identity import (
        Fence as Fence,
        begin_work as begin_work,
        current_owner as current_owner,
        describe_owner as describe_owner,
        end_work as end_work,
    )
    from signoff.checkpoints.process_identity import holds as holds, is_gone as is_gone, working as working
    from signoff.checkpoints.redaction import REDACTED as REDACTED, covers as covers, hide_patterns as hide_patterns
    from signoff.checkpoints.redaction import redact as redact, redact_text as redact_text
offer(__name__)
