"""The tools for git: agents commit in a run's copy of a project freely, and propose what is to be pushed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from signoff.checkpoints import digest_text
from signoff.error_base import TeamError
from signoff.tools.action import Action, Touches, completed
from signoff.tools.errors import GitFailed
from signoff.tools.files.patch import check_name
from signoff.tools.files.project import Project
from signoff.tools.files.tools import tools_on_copy
from signoff.tools.git.pull_requests import GitHub, InBareRepository, OnGitHub, PullRequest, PullRequests
from signoff.tools.git.push import TOOL as PUSH, Branch, Pushing, Remote, remote_of
from signoff.tools.git.repository import Author
from signoff.tools.git.tree import make_snapshot, repository_of, without_secrets
from signoff.tools.storage.file_names import check_places
from signoff.tools.storage.workspaces import Workspaces
from signoff.tools.tool import Tool
from signoff.wording import make_visible

if TYPE_CHECKING:
    from signoff.tools.broker.broker import Broker

OPEN: Final = "open_pull_request"
_SHOWN: Final = 45_000
"""Characters of a patch that a model is shown at once."""
_COMMITS: Final = 50


def git_tools(
    project: Project,
    *,
    remote: str = "",
    github: GitHub | None = None,
    broker: Broker | None = None,
    author: Author | None = None,
    allow_default: bool = False,
) -> tuple[Tool | Action[Any], ...]:
    """git_status, git_diff, git_log, git_branch, git_commit on the run's copy; push_branch and open_pull_request.

    The two actions are there if a `remote` is given: the name of one of the project's remotes, a path or an address.
    Pull requests are opened on GitHub if `github` is given or the remote is there, with the rights that `broker` has
    for the tools `push_branch` and `open_pull_request`; for a path they are recorded in the bare repository.
    """
    history = _Git(project, author or Author())
    reading = (history.git_status, history.git_diff, history.git_log)
    tools = tools_on_copy(project, reading=reading, writing=(history.git_branch, history.git_commit))
    if not remote:
        return tools
    to = Remote(remote if "/" in remote else remote_of(project.folder, remote), broker)
    actions = [push_branch(project, to, allow_default=allow_default)]
    forge = github or _github_of(to)
    if forge is not None or to.is_local:
        actions.append(open_pull_request(project, to, forge))
    return (*tools, *actions)


def push_branch(project: Project, remote: Remote, *, allow_default: bool = False) -> Action[Any]:
    """The action that pushes a branch: new, or further than it was; never by force."""
    pushing = Pushing(PUSH, project, remote, allow_default)
    arguments = completed(Branch, pushing.fill_in, name="PushedBranch", about="A branch to be pushed.")
    about = f"Push a branch of the project's copy to {remote.address}. Commit with git_commit first."
    return _push(lambda _: pushing, arguments, about, _touches(remote))


def push_any_branch(workspaces: Workspaces, broker: Broker | None = None) -> Action[Any]:
    """The same of whatever project and remote it names: for teams that work on any, whose functions alone propose."""

    def pushing(branch: BranchOf) -> Pushing:
        project = Project(branch.folder, workspaces=workspaces)
        return Pushing(PUSH, project, Remote(branch.remote, broker))

    touches = Touches(writes=("the remote that it names",))
    return _push(pushing, BranchOf, "Push a branch of a project's copy to the remote that it names.", touches)


def branch_of(project: Project, name: str, message: str, remote: str = "", *, as_of_base: bool = False) -> BranchOf:
    """What was changed in the run's copy, committed to a new branch of it, as what can be proposed; the same if it was.

    `remote`: the name of one of the project's remotes, a path or an address; empty: the project itself. `as_of_base`:
    the commit has the date of the project's, so that the same change is the same commit in every run.
    """
    copy, repository = repository_of(project)
    address = address_of(project, remote)
    tree = make_snapshot(copy, repository)
    if name not in repository.branches:
        repository.start_branch(name)
        check_places(copy.project, repository.written(repository.base, tree))
        when = repository.run("log", "-1", "--format=%cI", repository.base, "--").strip() if as_of_base else ""
        repository.commit(tree, f"{message.strip()}\n", Author(), when=when)
    commit = repository.commit_of(f"refs/heads/{name}")
    if repository.status(commit, tree):
        raise GitFailed("branch", f"the copy has another branch {name!r}. Take another name.")
    made = BranchOf(folder=str(project.folder), branch=name)
    filled = Pushing(PUSH, project, Remote(address)).fill_in({"branch": name})
    return made.model_copy(update={key: value for key, value in filled.items() if key != "branch"})


def address_of(project: Project, remote: str = "") -> str:
    """What a remote is reached by: its name in the project's settings, a path or an address; empty: the project."""
    if not remote:
        return str(project.folder)
    return remote if "/" in remote else remote_of(project.folder, remote)


class BranchOf(Branch):
    """A branch, and of which project's copy it is."""

    folder: str


class PullOf(PullRequest):
    """A pull request, and of which project's copy its branch is."""

    folder: str


def pull_of(project: Project, name: str, title: str, body: str, remote: str, repository: str = "") -> PullOf:
    """What was changed in the run's copy as a pull request that can be proposed; the same change is the same one.

    `repository`: `owner/name` on GitHub; empty: in a bare repository.
    """
    message = f"{title}\n\n{body}"
    made = branch_of(project, name, message, remote, as_of_base=True)
    return PullOf(**made.model_dump(), title=title, body=body, repository=repository)


def open_any_pull_request(
    workspaces: Callable[[str], Workspaces],
    broker: Broker | None = None,
    github: Callable[[str], GitHub | None] | None = None,
) -> Action[PullOf]:
    """The action that opens a pull request of whatever project and remote it names, once for each branch.

    The branch is the key: one that is open already at the same commit, from this run or an earlier one, is the outcome.
    `workspaces` are those of a project's folder. `github` says which repository a remote's address means, where that is
    not on github.com.
    """

    def requests(asked: PullOf) -> PullRequests:
        remote = Remote(asked.remote, broker)
        pushing = Pushing(OPEN, Project(asked.folder, workspaces=workspaces(asked.folder)), remote)
        forge = (github and github(asked.remote)) or _github_of(remote)
        return OnGitHub(pushing, forge) if forge is not None else InBareRepository(pushing)

    return Action(
        name=OPEN,
        description="Push a branch of a project's copy and open a pull request, where it names.",
        arguments=PullOf,
        call=lambda asked, _key: requests(asked).call(asked, asked.branch),
        risk="external",
        touches=Touches(writes=("the remote that it names",)),
        idempotent=True,
        reconcile=lambda asked, _key: requests(asked).read_back(asked, asked.branch),
        preview=lambda asked: requests(asked).preview(asked),
        fixed=frozenset(PullOf.model_fields) - {"title", "body"},
    )


def _push(pushing: Callable[[Any], Pushing], arguments: type[Branch], about: str, touches: Touches) -> Action[Any]:
    def call(branch: Branch, _key: str) -> Mapping[str, Any]:
        way = pushing(branch)
        repository = way.check(branch)
        way.push(branch, repository, way.check_remote(branch, repository))
        return {"remote": branch.remote, "branch": branch.branch, "commit": branch.commit}

    def read_back(branch: Branch, _key: str) -> Mapping[str, Any] | None:
        there = pushing(branch).remote.refs().branch(branch.branch)
        return {"remote": branch.remote, "branch": branch.branch, "commit": there} if there == branch.commit else None

    return Action(
        name=PUSH,
        description=about,
        arguments=arguments,
        call=call,
        risk="external",
        touches=touches,
        idempotent=True,
        reconcile=read_back,
        preview=lambda branch: pushing(branch).preview(branch),
        fixed=frozenset(arguments.model_fields),
    )


def open_pull_request(project: Project, remote: Remote, github: GitHub | None = None) -> Action[Any]:
    """The action that pushes a branch and opens a pull request for it: on GitHub, or in a bare repository here."""
    pushing = Pushing(OPEN, project, remote)
    requests: PullRequests = OnGitHub(pushing, github) if github else InBareRepository(pushing)
    where = requests.repository or remote.address

    def fill_in(values: Any) -> Any:
        filled = pushing.fill_in(values)
        return filled if filled is values else {**filled, "repository": requests.repository}

    return Action(
        name=OPEN,
        description=f"Push a branch of the project's copy and open a pull request on {where}. "
        "Commit with git_commit first.",
        arguments=completed(PullRequest, fill_in, name="OpenedPullRequest", about="A pull request to be opened."),
        call=requests.call,
        risk="external",
        touches=_touches(remote, github),
        idempotent=True,
        reconcile=requests.read_back,
        preview=requests.preview,
        fixed=frozenset({"branch", "commit", "diff_sha256", "remote", "repository"}),
    )


class _Git:
    """What the tools do."""

    def __init__(self, project: Project, author: Author) -> None:
        self._project, self._author = project, author

    def git_status(self) -> str:
        """Tell the branch of the project's copy, its commits, and which files differ from the last one."""
        copy, repository = repository_of(self._project)
        changed = repository.status("HEAD", make_snapshot(copy, repository))
        count = repository.run("rev-list", "--count", f"{repository.base}..HEAD", "--").strip()
        head = f"On branch {repository.branch}, {count} commits since the project's {repository.base[:12]}."
        if not changed:
            return f"{head} Nothing differs from the last commit."
        return "\n".join([head, *(make_visible(f"{letter} {path}") for letter, path in changed)])

    def git_diff(self, since: str = "HEAD", paths: tuple[str, ...] = ()) -> str:
        """Show as a patch how the files of the project's copy differ from a commit.

        Args:
            since: HEAD for the last commit, base for the project's own, or a branch or commit
            paths: Only these files and folders; none shows all
        """
        copy, repository = repository_of(self._project)
        old = repository.base if since == "base" else repository.commit_of(since)
        wanted = tuple(check_name(path) for path in paths)
        trees = without_secrets(repository, old, make_snapshot(copy, repository))
        shown = make_visible(repository.diff(*trees, wanted))
        if not shown:
            return f"Nothing differs from {since}."
        more = f"\n[cut: {len(shown):,} characters in all. Name paths to see less.]"
        return shown if len(shown) <= _SHOWN else shown[:_SHOWN] + more

    def git_log(self, most: int = 10) -> str:
        """List the last commits of the branch, the newest first.

        Args:
            most: Number of commits
        """
        _, repository = repository_of(self._project)
        count = f"--max-count={min(max(most, 1), _COMMITS)}"
        return make_visible(repository.run("log", count, "--date=short", "--format=%h %ad %an: %s", "HEAD", "--"))

    def git_branch(self, name: str = "") -> str:
        """Start a new branch in the project's copy, at the last commit; what is not committed stays as it is.

        Args:
            name: Name of the new branch; empty lists the branches
        """
        _, repository = repository_of(self._project)
        if name:
            repository.start_branch(name)
            return f"Commits go to the new branch {name!r} now."
        now = repository.branch
        listed = repository.branches.items()
        return "\n".join(f"{'*' if branch == now else ' '} {branch} {commit[:12]}" for branch, commit in listed)

    def git_commit(self, message: str, paths: tuple[str, ...] = ()) -> str:
        """Commit what was changed in the project's copy.

        Args:
            message: What was changed and why; the first line is short
            paths: Only these files and folders; none commits all
        """
        copy, repository = repository_of(self._project)
        text = message.replace("\0", "").strip()
        if not text:
            raise GitFailed("commit", "the message is empty. Say what was changed and why.")
        tree = make_snapshot(copy, repository, paths)
        changed = repository.status("HEAD", tree)
        if not changed:
            raise GitFailed("commit", "nothing differs from the last commit there.")
        check_places(copy.project, repository.written(repository.base, tree))
        made = repository.commit(tree, f"{text}\n", self._author)
        shown = digest_text(repository.diff(repository.base, made))
        return (
            f"Commit {made} on branch {repository.branch}, {len(changed)} files. "
            f"The patch since the project's commit has the SHA-256 {shown}."
        )


def _github_of(remote: Remote) -> GitHub | None:
    """The repository on GitHub that an address means."""
    if not (repository := on_github(remote.address)):
        return None
    broker = remote.broker
    if broker is None:
        raise TeamError(f"To push to {remote.address!r} takes a token, which only a broker may know. Give broker=.")
    return GitHub(repository, lambda: broker.client(OPEN, timeout=30))


def on_github(address: str) -> str:
    """`owner/name` of what an address means there; empty if it is elsewhere."""
    parts = urlsplit(address)
    return parts.path.strip("/").removesuffix(".git") if parts.hostname in ("github.com", "www.github.com") else ""


def _touches(remote: Remote, github: GitHub | None = None) -> Touches:
    here = (remote.address,) if remote.is_local else ()
    there = [*([] if remote.is_local else [remote.address]), *([github.api] if github else [])]
    return Touches(hosts=tuple(urlsplit(address).netloc for address in there), writes=here)
