"""Notices of what waits for people, and the hooks that they go to."""

from signoff.exports import TYPE_CHECKING, offer

if TYPE_CHECKING:
    from signoff.checkpoints.ledger.notifications.hooks import CommandHook as CommandHook, Notice as Notice
    from signoff.checkpoints.ledger.notifications.hooks import Webhook as Webhook
offer(__name__)
