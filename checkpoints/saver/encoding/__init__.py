"""From values to rows and back: what changed, in chunks, packed and encrypted."""

from signoff.exports import TYPE_CHECKING, offer

if TYPE_CHECKING:
    from signoff.checkpoints.saver.encoding.encryption import new_key as new_key
offer(__name__)
