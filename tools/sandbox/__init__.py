"""The sandbox: where code that nobody has read may run."""

from typing import TYPE_CHECKING

from signoff.exports import lazy_exports

if TYPE_CHECKING:
    from signoff.tools.sandbox.sandbox import SandboxLimits as SandboxLimits
    from signoff.tools.sandbox.tools import sandbox_tools as sandbox_tools
else:
    __getattr__, __dir__, __all__ = lazy_exports(__name__)
