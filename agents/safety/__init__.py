"""What guards a prompt: private data, injected orders, hidden text, and where a text came from."""

from typing import TYPE_CHECKING

from signoff.exports import lazy_exports

if TYPE_CHECKING:
    from signoff.agents.safety.injection import find_orders as find_orders
    from signoff.agents.safety.provenance import flags_for as flags_for
else:
    __getattr__, __dir__, __all__ = lazy_exports(__name__)
