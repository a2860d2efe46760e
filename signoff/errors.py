"""Every error signoff raises on purpose; each room has its own in a module of that room.

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
│   ├── CrmFailed            a CRM did not do what it was asked, or it is not known whether it did
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
│   ├── CommandReturned      a tool in an agent's loop returned a Command
│   ├── UnknownTeam          no ready-made team has this name
│   ├── NotImportable        a team of somebody's own is not where its name says
│   ├── NotTrusted           a database names a module that is not imported on its word alone
│   ├── BadInput             what a team was given does not fit its input
│   ├── InputChanged         what a run was given does not fit its team's input any more
│   ├── TeamChanged          a run cannot go on with its team as that is now
│   ├── Undecidable          a pattern of a policy cannot tell whether a value fits
│   ├── WorkFailed           an agent could not do its step
│   │   └── StepStuck        it went in circles: a person is asked
│   ├── RepositoryUnusable   a repository, or this machine, is not as it has to be for code to be changed
│   └── ActionFailed         an approved action could not be done
│       └── ActionPostponed  not now: it is called when the run goes on
├── StoreError               the database cannot be used
│   ├── NoDatabase           there is no database yet
│   ├── UnknownThread        no such thread in the database
│   ├── ForeignDatabase      the file is not a signoff database
│   ├── DatabaseVersion      it was written by another version
│   ├── DatabaseUnusable     locked, full, read-only or not to be had
│   │   ├── DatabaseDamaged  cut off or damaged; what was committed may be lost
│   │   └── DatabaseGone     it was deleted, emptied or replaced
│   ├── Unstorable           a value cannot be kept in a checkpoint
│   │   └── UnlistedType     its type is not listed
│   ├── ClassChanged         a class no longer takes what is stored of it
│   ├── OtherTenant          what is opened for one tenant changes nothing
│   ├── Tampered             what is stored is not what was written
│   ├── OutcomeUnwritten     what came of a call could not be written
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
├── RecordingError           a recording cannot be played or written
│   ├── RecordingUnreadable  the file is no recording
│   └── NotRecorded          a replay asked what the recording does not have
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
    ├── NotSeen              the run asks something by now that whoever decides has not seen
    ├── SeveralAsked         the run waits for several decisions, and none was named
    ├── NotAllDecided        several questions were answered at once, and not each answer counted
    ├── NoArtifact           the run has no artifact of this name
    ├── RunElsewhere         its checkpoints are kept by another program
    ├── OwnInterrupt         something in an agent called interrupt() itself
    ├── RunEnded             it has ended: there is nothing to cancel
    ├── ChildRun             it is the work of an agent in another run, and goes on with that
    ├── CannotExport         it cannot be made a test of
    ├── RunBusy              another process drives the run
    └── BudgetExhausted      a call of a model does not fit a budget
"""

from signoff.agents.errors import *
from signoff.checkpoints.errors import *
from signoff.desk.errors import *
from signoff.error_base import *
from signoff.fleet.errors import *
from signoff.graphs.errors import *
from signoff.tools.errors import *
