"""The sandbox: where code that nobody has read may run."""

from signoff.exports import TYPE_CHECKING, offer

if TYPE_CHECKING:
    from signoff.tools.sandbox.bench import LIMITS as LIMITS, Bench as Bench, find_environment as find_environment
    from signoff.tools.sandbox.bench import check_folder as check_folder, installed as installed, no_word as no_word
    from signoff.tools.sandbox.bench import tree_of as tree_of
    from signoff.tools.sandbox.code_tools import SHOWN_OF_COMMANDS as SHOWN_OF_COMMANDS, bench_tools as bench_tools
    from signoff.tools.sandbox.proof import CheckRun as CheckRun, Proof as Proof, find_problems as find_problems
    from signoff.tools.sandbox.sandbox import SandboxLimits as SandboxLimits
    from signoff.tools.sandbox.tools import sandbox_tools as sandbox_tools, tell as tell
offer(__name__)
