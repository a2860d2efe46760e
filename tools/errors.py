"""Errors of tools and actions: documents, the web, files, git, tables, memory, MCP, sandbox."""

from __future__ import annotations

from collections.abc import Sequence

from signoff.error_base import SignoffError, TeamError


class CommandReturned(TeamError):
    """A tool in an agent's loop returned a Command, which only LangGraph's ToolNode heeds."""

    def __init__(self, tool: str) -> None:
        self.tool = tool
        super().__init__(
            f"Tool {tool!r} returned a Command, which nothing heeds here: its update and its goto would be lost. Let "
            "it return what the model is to be told. What others need is the agent's artifact, and who works next "
            "follows from needs and gives."
        )


class SourcesError(SignoffError):
    """The documents cannot be used."""


class SourcesMissing(SourcesError):
    """The folder is not there."""

    def __init__(self, folder: object) -> None:
        self.folder = str(folder)
        super().__init__(f"No folder {self.folder!r}. Give an existing folder of documents with --sources DIR.")


class SourcesEmpty(SourcesError):
    """The folder holds nothing that can be read."""

    def __init__(self, folder: object, skipped: int, kinds: str, such: str = "") -> None:
        self.folder, self.skipped, self.kinds, self.such = str(folder), skipped, kinds, such
        self.seen = f"none of its {skipped} files can be read" if skipped else "it is empty"
        self.seen += f" ({such})" if such else ""
        super().__init__(f"Nothing to read in {self.folder!r}: {self.seen}. Add documents ({kinds}).")


class UnknownSource(SourcesError):
    """No such document in the index."""

    def __init__(self, source: str) -> None:
        self.source = source
        super().__init__(f"No document {source!r} in the index. Use a path as search returns it.")


class SnapshotChanged(UnknownSource):
    """A kept page is not what was fetched: somebody changed it, or part of it is gone."""

    def __init__(self, source: str) -> None:
        super().__init__(source)
        self.args = (f"The snapshot {source!r} is not what was fetched, so nothing can be quoted from it. Fetch anew.",)


class Unreadable(SourcesError):
    """One file cannot be read as a document; the index goes on without it. `passing`: another try may go better."""

    def __init__(self, reason: str, *, passing: bool = False) -> None:
        self.reason, self.passing = reason, passing
        super().__init__(reason)


class ToolError(SignoffError):
    """A tool cannot be used as asked."""


class AddressRefused(ToolError):
    """A host is not reached: it lies inside a network, or there is none of its name."""

    def __init__(self, host: str, problem: str) -> None:
        self.host, self.problem = host, problem
        super().__init__(f"{host!r} is not reached: {problem}. Use another address.")


class PageRefused(ToolError):
    """A web page is not fetched."""

    def __init__(self, problem: str) -> None:
        self.problem = problem
        super().__init__(f"Not fetched: {problem}.")


class SearchFailed(ToolError):
    """A search of the web gave no usable answer."""

    def __init__(self, provider: str, problem: str) -> None:
        self.provider, self.problem = provider, problem
        super().__init__(f"The web search by {provider!r} failed: {problem.rstrip('.')}. Go on without it.")


class BlobMissing(ToolError):
    """A kept file is gone, or is not what was kept."""

    def __init__(self, sha256: str, problem: str) -> None:
        self.sha256, self.problem = sha256, problem
        super().__init__(f"The kept file {sha256[:12]} {problem}. Let the step that made it run again.")


class FileRefused(ToolError):
    """A file is not read or changed."""

    def __init__(self, path: str, problem: str) -> None:
        self.path, self.problem = path, problem
        super().__init__(f"{path[:500]!r}: {problem}")


class PatchMisfit(ToolError):
    """A patch does not fit, so that nothing of it is done."""

    def __init__(self, problem: str) -> None:
        self.problem = problem
        super().__init__(f"The patch was not applied, and no file was changed: {problem}")


class HalfApplied(ToolError):
    """Part of a patch is in the project, and another file was changed otherwise."""

    def __init__(self, path: str, problem: str) -> None:
        self.path, self.problem = path, problem
        super().__init__(
            f"Part of the patch is in the project already, and {path!r} {problem}. "
            "Look at the files, and finish by hand or take it back."
        )


class ProjectUnusable(ToolError):
    """A project cannot be copied."""

    def __init__(self, folder: object, problem: str) -> None:
        self.folder, self.problem = folder, problem
        super().__init__(f"The project {str(folder)!r} cannot be worked on: {problem}")


class GitFailed(ToolError):
    """Git did not do what it was asked."""

    def __init__(self, what: str, problem: str) -> None:
        self.what, self.problem = what, problem
        super().__init__(f"git {what}: {problem}")


class ForgeFailed(ToolError):
    """A server of pull requests did not do what it was asked."""

    def __init__(self, server: str, problem: str, *, sure: bool = False, status: int = 0) -> None:
        self.server, self.problem, self.sure, self.status = server, problem, sure, status
        super().__init__(f"{server} did not do it: {problem}." if sure else f"{server} may have done it: {problem}.")


class CrmFailed(ToolError):
    """A CRM did not do what it was asked, or it is not known whether it did."""

    def __init__(self, crm: str, problem: str, *, sure: bool = False, status: int = 0, of_row: bool = False) -> None:
        """`sure`: nothing was written. `of_row`: the row itself is why; otherwise no row would have been written."""
        self.crm, self.problem, self.sure, self.status, self.of_row = crm, problem, sure, status, of_row
        super().__init__(f"{crm}: nothing was written: {problem}." if sure else f"{crm} may have done it: {problem}.")


class PullNotOpened(ToolError):
    """A branch was pushed, and no pull request opened for it, as far as is known."""

    def __init__(self, branch: str, problem: str) -> None:
        self.branch, self.problem = branch, problem
        super().__init__(f"The branch {branch!r} was pushed. {problem} Open the pull request by hand, or try again.")


class QueryRefused(ToolError):
    """SQL is not answered."""

    def __init__(self, problem: str, hint: str = "") -> None:
        self.problem, self.hint = problem, hint
        super().__init__(f"The query was not answered: {problem}." + (f" {hint}" if hint else ""))


class ChartRefused(ToolError):
    """What was selected cannot be drawn."""

    def __init__(self, problem: str) -> None:
        self.problem = problem
        super().__init__(f"No chart was drawn: {problem}.")


class UnknownTable(ToolError):
    """No such table."""

    def __init__(self, table: str, known: Sequence[str]) -> None:
        self.table, self.known = table, tuple(known)
        there = f"There are: {', '.join(known[:20])}" if known else "There are none"
        super().__init__(f"No table is called {table[:100]!r}. {there}{' …' if len(known) > 20 else ''}.")


class UnknownMemory(ToolError):
    """No such memory."""

    def __init__(self, memory: str, team: str | None = None) -> None:
        self.memory, self.team = memory, team
        where = f" of team {team!r}" if team is not None else ""
        super().__init__(
            f"No memory{where} is called {memory!r:.100}, or several are. `signoff memory list` lists them."
        )


class MemoryFull(ToolError):
    """A team has as many memories as it may have."""

    def __init__(self, team: str, most: int) -> None:
        self.team, self.most = team, most
        super().__init__(
            f"Team {team!r} has {most:,} memories already, the most it may have. "
            "Forget some: `signoff memory list` and `signoff memory forget`."
        )


class McpUnusable(ToolError):
    """An MCP server cannot be started, reached or understood. `said` is the last that it wrote beside the protocol."""

    def __init__(self, server: str, problem: str, said: str = "") -> None:
        self.server, self.problem, self.said = server, problem, said
        last = f" The last it wrote: {said}" if said else ""
        super().__init__(f"The MCP server {server!r} cannot be used: {problem}.{last}")


class McpNotAccepted(ToolError):
    """Nobody has accepted what an MCP server offers."""

    def __init__(self, server: str) -> None:
        self.server = server
        super().__init__(
            f"Nobody has accepted a tool of the MCP server {server!r} yet. Look at what it offers with "
            f"`signoff mcp list {server}`, which says how to accept it."
        )


class McpNotCalled(ToolError):
    """A tool of an MCP server was surely not called. `passing`: the session had ended, and another may do."""

    def __init__(self, server: str, tool: str, problem: str, *, passing: bool = False) -> None:
        self.server, self.tool, self.problem, self.passing = server, tool, problem, passing
        super().__init__(f"{tool!r} of the MCP server {server!r} was not called: {problem}.")


class McpLost(ToolError):
    """Nobody knows what came of a call of an MCP server."""

    def __init__(self, server: str, tool: str, problem: str) -> None:
        self.server, self.tool, self.problem = server, tool, problem
        super().__init__(
            f"{tool!r} of the MCP server {server!r} was called, and what came of it is unknown: {problem}."
        )


class BrokerLost(ToolError):
    """The process that adds secrets to requests does not run."""

    def __init__(self, problem: str) -> None:
        self.problem = problem
        super().__init__(f"The broker of secrets does not run: {problem}. Try again; broker.log tells more.")


class SandboxMissing(ToolError):
    """Nothing here can run code safely."""

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        super().__init__(f"No sandbox can be used here, and nothing runs without one: {'; '.join(problems)}.")


class AdvisoriesUnusable(ToolError):
    """Records of vulnerabilities cannot be compared with, so that nothing is scanned."""

    def __init__(self, place: object, problem: str) -> None:
        self.place, self.problem = str(place), problem.rstrip(".")
        super().__init__(f"The advisories in {self.place!r} cannot be used: {self.problem}.")


class JudgeMissing(ToolError):
    """The program that scans a second time is not installed."""

    def __init__(self, command: str) -> None:
        self.command = command
        super().__init__(
            f"There is no program {command!r} here, which scans a second time. Install it: pip install pip-audit; or "
            "name it: --judge CMD; or go without: --judge none."
        )


class JudgeFailed(ToolError):
    """The program that scans a second time did not scan all that it was asked to."""

    def __init__(self, problem: str) -> None:
        self.problem = problem.rstrip(".")
        super().__init__(f"pip-audit did not scan it: {self.problem}.")


class WheelMissing(ToolError):
    """A version of a package cannot be had as a wheel for the Python in use."""

    def __init__(self, named: str, problem: str) -> None:
        self.named, self.problem = named, problem.rstrip(".")
        super().__init__(f"There is no wheel of {named}: {self.problem}.")


class NotResolved(ToolError):
    """No versions of all the packages go together."""

    def __init__(self, problem: str, between: Sequence[tuple[str, str]] = ()) -> None:
        """`between`: packages that are pinned otherwise than others, named second, ask for."""
        self.problem, self.between = problem.rstrip("."), tuple(between)
        super().__init__(f"The packages do not go together: {self.problem}.")


class ActionFailed(TeamError):
    """An approved action could not be done; nothing was left half-done."""

    def __init__(self, action: str, problem: str) -> None:
        self.action, self.problem = action, problem
        super().__init__(f"{action}: {problem}")


class ActionPostponed(ActionFailed):
    """An approved action cannot be done now, and nothing was: it stays approved, and is called when the run goes on."""
