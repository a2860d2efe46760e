"""The sandbox: where code that nobody has read may run."""

from signoff.exports import TYPE_CHECKING, offer

if TYPE_CHECKING:
    from signoff.tools.sandbox.sandbox import SandboxLimits as SandboxLimits
    from signoff.tools.sandbox.tools import sandbox_tools as sandbox_tools
offer(__name__)
