"""Notices of what waits for people, and the hooks that they go to."""

from typing import TYPE_CHECKING

from signoff.exports import lazy_exports

if TYPE_CHECKING:
    from signoff.checkpoints.ledger.notifications.hooks import CommandHook as CommandHook, Notice as Notice
    from signoff.checkpoints.ledger.notifications.hooks import Webhook as Webhook
else:
    __getattr__, __dir__, __all__ = lazy_exports(__name__)
