"""From values to rows and back: what changed, in chunks, packed and encrypted."""

from typing import TYPE_CHECKING

from signoff.exports import lazy_exports

if TYPE_CHECKING:
    from signoff.checkpoints.saver.encoding.encryption import new_key as new_key
else:
    __getattr__, __dir__, __all__ = lazy_exports(__name__)
