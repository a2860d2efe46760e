"""Every error signoff raises on purpose.

SignoffError
├── SettingsError            a setting is missing or makes no sense
│   └── MissingExtra         an optional package is not installed
├── ModelError               the model cannot be used as asked
│   ├── UnknownModel         no such model string, or its provider is not installed
│   ├── UnknownPrice         nobody knows what its calls cost
│   ├── ModelRefused         the endpoint rejected the key or the request
│   ├── ModelDeclined        it would not answer this: a refusal, or a content filter
│   ├── ContextTooLong       the prompt does not fit the model
│   ├── ModelNotFetched      the file of a local model cannot be had
│   ├── ModelNotServed       a local model cannot be started
│   └── ModelUnreachable     no answer: time-out, connection, server error, rate limit
├── SourcesError             the documents cannot be used
│   ├── SourcesMissing       the folder is not there
│   ├── SourcesEmpty         the folder holds nothing that can be read
│   ├── UnknownSource        no such document in the index
│   │   └── SnapshotChanged  a kept page is not what was fetched
│   └── Unreadable           one file cannot be read as a document
├── ToolError                a tool cannot be used as asked
│   ├── AddressRefused       a host is not reached: it lies inside a network, or is none
│   ├── PageRefused          a web page is not fetched
│   ├── SearchFailed         a search of the web gave no answer
│   ├── BlobMissing          a kept file is gone, or is not what was kept
│   ├── BrokerLost           the process that adds secrets to requests does not run
│   ├── FileRefused          a file is not read or changed
│   ├── PatchMisfit          a patch does not fit, so that nothing of it is done
│   ├── HalfApplied          part of a patch is in the project, and what to do is not known
│   ├── ProjectUnusable      a project cannot be copied
│   ├── GitFailed            git did not do what it was asked
│   ├── ForgeFailed          a server of pull requests did not do what it was asked
│   ├── PullNotOpened        a branch was pushed, and no pull request opened for it
│   ├── QueryRefused         SQL is not answered
│   ├── ChartRefused         what was selected cannot be drawn
│   ├── UnknownTable         no such table
│   ├── UnknownMemory        no such memory
│   ├── MemoryFull           a team has as many memories as it may have
│   ├── McpUnusable          an MCP server cannot be started, reached or understood
│   ├── McpNotAccepted       nobody has accepted what an MCP server offers
│   ├── McpNotCalled         a tool of an MCP server was surely not called
│   ├── McpLost              nobody knows what came of a call of an MCP server
│   └── SandboxMissing       nothing here can run code safely
├── TeamError                a team, agent or policy is put together wrongly
│   ├── UnknownTeam          no ready-made team has this name
│   ├── Undecidable          a pattern of a policy cannot tell whether a value fits
│   ├── WorkFailed           an agent could not do its step
│   │   └── StepStuck        it went in circles: a person is asked
│   └── ActionFailed         an approved action could not be done
├── StoreError               the database cannot be used
│   ├── NoDatabase           there is no database yet
│   ├── UnknownThread        no such thread in the database
│   ├── ForeignDatabase      the file is not a signoff database
│   ├── DatabaseVersion      it was written by another version
│   ├── DatabaseUnusable     locked, full, read-only or damaged
│   ├── Unstorable           a value cannot be kept in a checkpoint
│   │   └── UnlistedType     its type is not listed
│   ├── Tampered             what is stored is not what was written
│   ├── ThreadHeld           another owner has the thread's lease
│   ├── LeaseLost            another owner had the thread's lease since
│   ├── ThreadNotEmpty       a thread cannot be copied over another
│   ├── ImportFailed         a file's checkpoints cannot be taken over
│   ├── KeyMissing           it is encrypted and there is no key
│   ├── NotEncrypted         there is a key and it is not encrypted
│   └── WrongKey             the key does not open it
├── NoticeError              a notice cannot be sent
│   ├── HookFailed           a hook did not take it
│   └── UnknownNotice        no such notice
├── TapeError                a tape cannot be played or written
│   ├── TapeUnreadable       the file is no tape
│   └── TapeMiss             a replay asked what the tape does not have
├── ScriptError              a test double cannot answer from its script
│   ├── NotScripted          the script has no reply for this call
│   └── ReplyMisfit          the scripted reply is not what the call asked for
└── RunError                 something about one run
    ├── UnknownRun           no such run
    ├── UnknownApproval      no such approval
    ├── AlreadyDecided       the approval was decided before
    ├── NotAllowed           somebody who may not decide this
    ├── ChangedSince         the arguments were edited since they were seen
    ├── BadName              a name or role that cannot be used
    ├── DryRun               a dry run calls nothing
    ├── BadAnswer            an answer that does not decide anything
    ├── NothingAsked         the run waits for no decision
    ├── SeveralAsked         the run waits for several decisions, and none was named
    ├── RunElsewhere         its checkpoints are kept by another program
    ├── CannotExport         it cannot be made a test of
    ├── RunBusy              another process drives the run
    └── BudgetExhausted      a call of a model does not fit a budget
"""

from __future__ import annotations

import time
from collections.abc import Sequence


class SignoffError(Exception):
    """Base of all errors of signoff; its text says what happened and what to do next."""


class SettingsError(SignoffError):
    """A setting is missing or makes no sense."""

    def __init__(self, setting: str, problem: str, remedy: str) -> None:
        self.setting, self.problem, self.remedy = setting, problem, remedy
        super().__init__(f"{setting}: {problem}. {remedy}")


class MissingExtra(SettingsError):
    """An optional package is not installed."""

    def __init__(self, feature: str, extra: str, problem: str = "needs a package that is not installed") -> None:
        self.feature, self.extra = feature, extra
        super().__init__(feature, problem, f"Run: pip install 'signoff[{extra}]'")


class ModelError(SignoffError):
    """The model cannot be used as asked."""


class UnknownModel(ModelError):
    """No such model string, or its provider's package is not installed."""

    def __init__(self, model: str, problem: str) -> None:
        self.model, self.problem = model, problem
        super().__init__(
            f"Model {model!r}: {problem}. Use 'offline', 'openai:NAME', or 'provider:NAME' of an installed provider."
        )


class ModelRefused(ModelError):
    """The endpoint rejected the key or the request; trying again unchanged will not help."""

    def __init__(self, model: str, problem: str) -> None:
        self.model, self.problem = model, problem
        super().__init__(
            f"Model {model!r} refused the call: {problem}. Check OPENAI_API_KEY, SIGNOFF_BASE_URL and the model's name."
        )


class UnknownPrice(ModelError):
    """Nobody knows what a call of it costs, so no budget could hold."""

    def __init__(self, model: str) -> None:
        self.model = model
        super().__init__(
            f"The price of model {model!r} is not known, so it is not called. Set it in dollars for a million tokens: "
            f'SIGNOFF_PRICES=\'{{"{model}": {{"input": 0.5, "output": 1.5}}}}\', or 0 if it costs nothing.'
        )


class ModelDeclined(ModelError):
    """It would not answer this; asking again unchanged will not help."""

    def __init__(self, model: str, problem: str) -> None:
        self.model, self.problem = model, problem
        super().__init__(f"Model {model!r} would not answer: {problem}. Put the goal otherwise or use another model.")


class ContextTooLong(ModelError):
    """The prompt does not fit the model."""

    def __init__(self, model: str, problem: str) -> None:
        self.model, self.problem = model, problem
        super().__init__(
            f"The prompt is too long for model {model!r}: {problem}. Use a model that takes more, or give it less."
        )


class ModelNotFetched(ModelError):
    """The file of a local model cannot be had."""

    def __init__(self, model: str, problem: str, remedy: str) -> None:
        self.model, self.problem, self.remedy = model, problem, remedy
        super().__init__(f"Model {model!r} was not fetched: {problem}. {remedy}.")


class ModelNotServed(ModelError):
    """A local model cannot be started."""

    def __init__(self, model: str, problem: str, remedy: str) -> None:
        self.model, self.problem, self.remedy = model, problem, remedy
        super().__init__(f"Model {model!r} cannot be served: {problem}. {remedy}.")


class ModelUnreachable(ModelError):
    """No usable answer: time-out, connection, server error or rate limit."""

    def __init__(self, model: str, problem: str) -> None:
        self.model, self.problem = model, problem
        super().__init__(f"Model {model!r} gave no answer: {problem}. Check the endpoint, then resume the run.")


class SourcesError(SignoffError):
    """The documents cannot be used."""


class SourcesMissing(SourcesError):
    """The folder is not there."""

    def __init__(self, folder: object) -> None:
        self.folder = str(folder)
        super().__init__(f"No folder {self.folder!r}. Give an existing folder of documents with --sources DIR.")


class SourcesEmpty(SourcesError):
    """The folder holds nothing that can be read."""

    def __init__(self, folder: object, skipped: int, kinds: str) -> None:
        self.folder, self.skipped, self.kinds = str(folder), skipped, kinds
        seen = f"none of its {skipped} files can be read" if skipped else "it is empty"
        super().__init__(f"Nothing to read in {self.folder!r}: {seen}. Add documents ({kinds}).")


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


class TeamError(SignoffError):
    """A team, agent or policy is put together wrongly."""


class UnknownTeam(TeamError):
    """No ready-made team has this name."""

    def __init__(self, name: str, known: list[str]) -> None:
        self.name, self.known = name, known
        super().__init__(
            f"No ready-made team {name!r}, only {', '.join(known)}. "
            "A run of a team of your own goes on in your program: Run.open(RUN, team=…).resume()."
        )


class Undecidable(TeamError):
    """A pattern of a policy cannot tell whether a value fits; `why` says what the value is, such as `is missing`."""

    def __init__(self, why: str) -> None:
        self.why = why
        super().__init__(why)


class WorkFailed(TeamError):
    """An agent could not do its step; the supervisor revises the plan. `final`: trying again as it is cannot help."""

    def __init__(self, agent: str, problem: str, *, final: bool = False) -> None:
        self.agent, self.problem, self.final = agent, problem, final
        super().__init__(f"{agent}: {problem}")


class StepStuck(WorkFailed):
    """An agent's step goes in circles, and neither a word nor a stronger model helped; a person is asked."""

    def __init__(self, agent: str, reason: str) -> None:
        self.reason = reason
        super().__init__(agent, f"the step goes in circles: {reason}", final=True)


class ActionFailed(TeamError):
    """An approved action could not be done; nothing was left half-done."""

    def __init__(self, action: str, problem: str) -> None:
        self.action, self.problem = action, problem
        super().__init__(f"{action}: {problem}")


class StoreError(SignoffError):
    """The database cannot be used."""


class NoDatabase(StoreError):
    """There is no database yet."""

    def __init__(self, database: str) -> None:
        self.database = database
        super().__init__(f"There is no database {database!r} yet. The first run makes it; --database names another.")


class UnknownThread(StoreError):
    """No such thread in the database."""

    def __init__(self, thread: str) -> None:
        self.thread = thread
        super().__init__(f"No thread {thread!r} in the database. `signoff db stats` shows the largest.")


class ForeignDatabase(StoreError):
    """The file is not a signoff database."""

    def __init__(self, database: str, problem: str) -> None:
        self.database, self.problem = database, problem
        super().__init__(
            f"{database!r} is not a signoff database: {problem}. Nothing was changed. "
            "Name another with SIGNOFF_DATABASE."
        )


class DatabaseVersion(StoreError):
    """The database was written by another version of signoff."""

    def __init__(self, database: str, found: int, known: int) -> None:
        self.database, self.found, self.known = database, found, known
        remedy = "Upgrade signoff" if found > known else "Open it with the version that wrote it"
        super().__init__(
            f"{database!r} has schema version {found}; this signoff knows version {known}. "
            f"{remedy}, or name another with SIGNOFF_DATABASE."
        )


class DatabaseUnusable(StoreError):
    """The database is locked, full, read-only or damaged."""

    def __init__(self, database: str, problem: str) -> None:
        self.database, self.problem = database, problem
        super().__init__(
            f"Cannot use the database {database!r}: {problem}. Nothing committed was lost; mend it and resume."
        )


class Unstorable(StoreError):
    """A value cannot be kept in a checkpoint, or would not come back as what it was."""

    def __init__(self, what: str, problem: str, remedy: str) -> None:
        self.what, self.problem, self.remedy = what, problem, remedy
        super().__init__(f"A checkpoint cannot hold {what}: {problem}. {remedy}")


class UnlistedType(Unstorable):
    """Types that are not listed: of their objects only the bare data could be read back."""

    def __init__(self, types: Sequence[tuple[str, str]]) -> None:
        self.types = tuple(types)
        super().__init__(
            " and ".join(f"{module}.{name}" for module, name in self.types),
            "not a listed type, so it could not be read back as an object",
            f"List it: SqliteCheckpointer(path, types=[{', '.join(name for _, name in self.types)}])",
        )


class Tampered(StoreError):
    """What is stored does not match its digest: somebody changed it behind the ledger's back."""

    def __init__(self, what: str) -> None:
        self.what = what
        super().__init__(
            f"{what} is not what was written: its digest differs, so the database was changed from outside. "
            "Nothing was called. Find the change with `signoff audit verify`."
        )


class ThreadHeld(StoreError):
    """Another owner has the lease of a thread."""

    def __init__(self, thread: str, owner: str, until: float) -> None:
        self.thread, self.owner, self.until = thread, owner, until
        left = max(0, round(until - time.time()))
        super().__init__(
            f"Thread {thread!r} is being written by {owner!r}, for {left} more seconds. Wait for it, or stop it first."
        )


class LeaseLost(StoreError):
    """Another owner has written to a thread since; nothing was written."""

    def __init__(self, thread: str, owner: str) -> None:
        self.thread, self.owner = thread, owner
        super().__init__(
            f"{owner!r} no longer has the lease of thread {thread!r}: another has taken it. "
            "Nothing was written; start again from the newest state."
        )


class ThreadNotEmpty(StoreError):
    """A thread was to be copied into one that holds checkpoints."""

    def __init__(self, thread: str) -> None:
        self.thread = thread
        super().__init__(f"Thread {thread!r} holds checkpoints already. Copy into a new one, or delete it first.")


class ImportFailed(StoreError):
    """The checkpoints of a file cannot be taken over."""

    def __init__(
        self, source: str, problem: str, remedy: str = "Name a file that LangGraph's SqliteSaver wrote"
    ) -> None:
        self.source, self.problem, self.remedy = source, problem, remedy
        super().__init__(f"Cannot import {source!r}: {problem}. {remedy}.")


class KeyMissing(StoreError):
    """The database is encrypted and there is no key."""

    def __init__(self, database: str) -> None:
        self.database = database
        super().__init__(
            f"{database!r} is encrypted and no key is set. Set SIGNOFF_ENCRYPTION_KEY to the key it was written with."
        )


class NotEncrypted(StoreError):
    """A key was given for a file that holds readable checkpoints."""

    def __init__(self, database: str) -> None:
        self.database = database
        super().__init__(
            f"{database!r} holds checkpoints that are not encrypted. Unset SIGNOFF_ENCRYPTION_KEY, or name a new file."
        )


class WrongKey(StoreError):
    """The key does not open what is stored."""

    def __init__(self) -> None:
        super().__init__(
            "The encryption key does not open what is stored: it was written with another key, or changed since. "
            "Set SIGNOFF_ENCRYPTION_KEY to the key it was written with."
        )


class NoticeError(SignoffError):
    """A notice cannot be sent."""


class HookFailed(NoticeError):
    """A hook did not take a notice; it is tried again later unless that is `final`."""

    def __init__(self, problem: str, *, final: bool = False) -> None:
        self.problem, self.final = problem, final
        super().__init__(problem)


class UnknownNotice(NoticeError):
    """No such notice in the outbox."""

    def __init__(self, notice_id: str) -> None:
        self.notice_id = notice_id
        super().__init__(f"No notice {notice_id!r}. `signoff notify --list` shows the newest.")


class TapeError(SignoffError):
    """A tape of recorded traffic cannot be played or written."""


class TapeUnreadable(TapeError):
    """The file is no tape, or one that cannot be written on."""

    def __init__(self, path: object, problem: str) -> None:
        self.path, self.problem = str(path), problem
        super().__init__(f"{self.path!r} is no tape that can be used: {problem}. Name another, or record a new one.")


class TapeMiss(TapeError):
    """A replay asked what the tape does not have; nothing was called. `difference` is to the nearest it has."""

    def __init__(self, path: object, asked: str, difference: str) -> None:
        self.path, self.asked, self.difference = str(path), asked, difference
        super().__init__(
            f"The tape {self.path!r} has no answer to this ({asked}), and a replay never makes a live call.\n"
            f"{difference}\nRecord it anew with --record, or undo what changed since."
        )


class ScriptError(SignoffError):
    """A test double cannot answer from its script."""


class NotScripted(ScriptError):
    """The script has no reply for this call."""

    def __init__(self, call: int, problem: str, asked: str) -> None:
        self.call, self.problem, self.asked = call, problem, asked
        super().__init__(
            f"Call {call} is not scripted: {problem}. It asked {asked!r}. "
            "Add a reply for it, or script a function, which answers any number of calls."
        )


class ReplyMisfit(ScriptError):
    """The scripted reply is not what the call asked for."""

    def __init__(self, call: int, reply: object, problem: str) -> None:
        self.call, self.reply, self.problem = call, reply, problem
        super().__init__(f"Call {call} cannot be answered with {reply!r:.200}: {problem}. Correct the script.")


class RunError(SignoffError):
    """Something about one run."""


class UnknownRun(RunError):
    """No such run."""

    def __init__(self, run_id: str) -> None:
        self.run_id = run_id
        super().__init__(f"No run {run_id!r}. `signoff runs` lists them.")


class UnknownApproval(RunError):
    """No such approval."""

    def __init__(self, approval_id: str, fitting: int = 0) -> None:
        self.approval_id, self.fitting = approval_id, fitting
        found = (
            f"{approval_id!r} is the beginning of {fitting} approvals" if fitting else f"No approval {approval_id!r}"
        )
        super().__init__(f"{found}. `signoff approvals` lists the open ones; name at least six characters of one.")


class AlreadyDecided(RunError):
    """The approval was decided before; the first decision stands."""

    def __init__(self, approval_id: str, status: str, by: str, at: str) -> None:
        self.approval_id, self.status, self.by, self.at = approval_id, status, by, at
        super().__init__(f"Approval {approval_id} was already decided: {status} by {by} at {at}.")


class NotAllowed(RunError):
    """Somebody who may not decide this; the question stays open."""

    def __init__(self, approval_id: str, who: str, why: str) -> None:
        self.approval_id, self.who, self.why = approval_id, who, why
        super().__init__(f"{who} may not decide approval {approval_id}: {why}. Nothing was decided.")


class ChangedSince(RunError):
    """The arguments were edited since they were seen; the question stays open."""

    def __init__(self, approval_id: str, sha256: str) -> None:
        self.approval_id, self.sha256 = approval_id, sha256
        super().__init__(
            f"Approval {approval_id} is not about what you saw: the digest of its arguments is {sha256[:12]}. "
            "Nothing was decided. Look at it with `signoff approvals`."
        )


class BadName(RunError):
    """A name or role that cannot be used."""

    def __init__(self, what: str, name: str) -> None:
        self.what, self.name = what, name
        super().__init__(f"{name!r} is no {what}. Use 1 to 200 printable characters, no comma, and not 'policy'.")


class DryRun(RunError):
    """A dry run calls nothing."""

    def __init__(self, run_id: str) -> None:
        self.run_id = run_id
        super().__init__(f"Run {run_id!r} is a dry run: nothing is called. Start another run to do it.")


class BadAnswer(RunError):
    """An answer that does not decide anything; the question stays open."""

    def __init__(self, problem: str) -> None:
        self.problem = problem
        super().__init__(f"{problem} Nothing was decided.")


class NothingAsked(RunError):
    """The run waits for no decision."""

    def __init__(self, run_id: str, status: str) -> None:
        self.run_id, self.status = run_id, status
        super().__init__(f"Run {run_id!r} asks nothing: it is {status}. `signoff show {run_id}` tells more.")


class SeveralAsked(RunError):
    """The run waits for several decisions, and none was named."""

    def __init__(self, run_id: str, asked: Sequence[str]) -> None:
        self.run_id, self.asked = run_id, tuple(asked)
        super().__init__(f"Run {run_id!r} asks {len(asked)} things: {', '.join(asked)}. Name one: approval=ID.")


class RunElsewhere(RunError):
    """The run's checkpoints are kept by another program, such as a LangGraph Server."""

    def __init__(self, run_id: str) -> None:
        self.run_id = run_id
        super().__init__(
            f"Run {run_id!r} is driven by another program, which keeps its checkpoints. "
            "Decisions are in the ledger; resume the thread there and it will find them."
        )


class CannotExport(RunError):
    """A run cannot be made a test of."""

    def __init__(self, run_id: str, problem: str) -> None:
        self.run_id, self.problem = run_id, problem
        super().__init__(f"Run {run_id!r} cannot be exported as a test: {problem}. Nothing was written.")


class RunBusy(RunError):
    """Another process drives the run."""

    def __init__(self, run_id: str, owner: str) -> None:
        self.run_id, self.owner = run_id, owner
        super().__init__(f"Run {run_id!r} is being driven by {owner}. Wait for it, or stop that process and resume.")


class BudgetExhausted(RunError):
    """A call does not fit what is left of a budget; it was not made.

    `what` is usd, tokens, steps or seconds; `limit` (with what people added to it), `spent`, `held` (for calls under
    way) and `wanted` (the worst that this call could use) are in that unit.
    """

    def __init__(self, scope: str, what: str, limit: float, spent: float, wanted: float, held: float = 0) -> None:
        self.scope, self.what, self.limit = scope, what, limit
        self.spent, self.wanted, self.held = spent, wanted, held

        def amount(value: float) -> str:
            return f"${value:,.9g}" if what == "usd" else f"{value:,.12g} {what}"

        under_way = f" and {amount(held)} held by calls under way" if held else ""
        super().__init__(
            f"The budget of {scope} is used up: {amount(spent)} spent{under_way} of {amount(limit)}, and the next call "
            f"may take {amount(wanted)}. It was not made. Raise the budget, or stop the run."
        )
