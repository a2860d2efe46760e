"""Remotes, and the branches pushed to them: bound to a commit and to the patch that was shown, and pushed once."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit, urlunsplit

from pydantic import BaseModel, ConfigDict, Field
from pydantic.json_schema import SkipJsonSchema

from signoff.checkpoints import digest_text
from signoff.error_base import TeamError
from signoff.tools.errors import ActionFailed, GitFailed, ToolError
from signoff.tools.files.patch import count_lines
from signoff.tools.files.project import Project
from signoff.tools.files.self_running import warn_of_running
from signoff.tools.git.command import run_git
from signoff.tools.git.repository import Repository, check_branch, setting_of
from signoff.tools.git.tree import repository_of
from signoff.tools.web.addresses import is_loopback
from signoff.wording import as_block, as_code, make_visible

if TYPE_CHECKING:
    from signoff.tools.broker.broker import Broker

TOOL: Final = "push_branch"
"""The tool whose rights the broker gives to git, whatever action pushes."""
_FETCHED: Final = "refs/signoff/remote"


@dataclass(frozen=True)
class Refs:
    """What a remote has."""

    ids: Mapping[str, str]
    """By whole name, such as `refs/heads/main`."""
    default: str
    """Name of its default branch; empty if it has none."""

    def branch(self, name: str) -> str:
        """The commit of a branch; empty if there is none."""
        return self.ids.get(f"refs/heads/{name}", "")

    def may_be_default(self, name: str, base: str = "") -> bool:
        """Whether it is the default branch or `base`; of a remote that has no default branch yet, whether it may be."""
        if self.default:
            return name in (self.default, base)
        return name in ("main", "master", base) or bool(self.branch(name))


@dataclass(frozen=True)
class Remote:
    """A repository that is pushed to: a folder here, or an address whose password the broker knows."""

    address: str
    """A path, or a `file`, `http` or `https` URL."""
    broker: Broker | None = None
    seconds: float = 120.0

    def __post_init__(self) -> None:
        parts = urlsplit(self.address)
        if parts.scheme not in ("", "file", "http", "https") or self.address.startswith("-") or not self.address:
            raise TeamError(f"The remote {self.address!r} is neither a path nor a file, http or https URL. Give one.")
        if parts.username or parts.password:
            raise TeamError("The remote's address has a password in it. Give the password to the broker instead.")
        if parts.scheme == "http" and not is_loopback(parts.hostname or ""):
            raise TeamError(f"The remote {self.address!r} is not encrypted. Use https.")
        if parts.scheme == "" and "@" in self.address.partition(":")[0]:
            raise TeamError(f"The remote {self.address!r} is reached by SSH, which is not used. Give its https URL.")
        if parts.scheme == "" and not os.path.isabs(self.address):
            raise TeamError(f"The remote {self.address!r} is a relative path. Give an absolute one.")

    @property
    def is_local(self) -> bool:
        return urlsplit(self.address).scheme in ("", "file")

    @cached_property
    def _url(self) -> str:
        """The address as git is given it. The broker speaks https where it is asked in http."""
        if self.is_local:
            return Path(self.address).as_uri() if self.address.startswith("/") else self.address
        parts = urlsplit(self.address)
        return urlunsplit(parts._replace(scheme="http")) if self.broker else self.address

    def refs(self) -> Refs:
        said = self._run(None, "ls-remote", "--quiet", "--symref", "--", self._url)
        default, ids = "", {}
        for line in said.splitlines():
            first, _, name = line.partition("\t")
            if first.startswith("ref: ") and name == "HEAD":
                default = first.removeprefix("ref: refs/heads/")
            elif not first.startswith("ref: ") and not name.endswith("^{}"):
                ids[name] = first
        return Refs(ids, default)

    def knows(self, repository: Repository, commit: str, refs: Refs, branch: str) -> bool:
        """Whether a commit is at the end of one of its branches, or in the history of this one."""
        if commit in refs.ids.values():
            return True
        if not refs.branch(branch):
            return False
        name = f"refs/heads/{branch}:{_FETCHED}"
        self._run(repository, "fetch", "--no-tags", "--no-write-fetch-head", "--quiet", "--", self._url, f"+{name}")
        return repository.is_ancestor(commit, _FETCHED)

    def push(self, repository: Repository, wanted: Mapping[str, str], found: Refs) -> None:
        """Put commits or tags under these names, all or none, if they are still as they were found."""
        leases = (f"--force-with-lease={name}:{found.ids.get(name, '')}" for name in wanted)
        specs = (f"{source}:{name}" for name, source in wanted.items())
        options = ("--porcelain", "--no-verify", "--no-signed", "--no-follow-tags", "--no-recurse-submodules")
        atomic = ("--atomic",) if len(wanted) > 1 else ()
        self._run(repository, "push", *options, *atomic, *leases, "--", self._url, *specs)

    def _run(self, repository: Repository | None, *arguments: str) -> str:
        scheme = "file" if self.is_local else urlsplit(self._url).scheme
        env = {} if self.is_local or self.broker is None else self.broker.environment_for(TOOL)
        settings = ("http.proxyAuthMethod=basic", "http.lowSpeedLimit=1", f"http.lowSpeedTime={int(self.seconds)}")
        return run_git(
            *arguments,
            git_dir=repository.git_dir if repository else None,
            protocols=(scheme,),
            settings=settings,
            env=env,
            seconds=self.seconds,
        ).decode("utf-8", "replace")


def remote_of(project: Path, name: str = "origin") -> str:
    """The address of a remote of a project, read from its settings; GitFailed if it has none of this name."""
    found = setting_of(project, f"remote.{name}.url")
    if not found:
        raise GitFailed("remote", f"the project has no remote {name!r}. Name another, or give its address.")
    return found


LONGEST: Final = 1_000_000
"""Characters of a patch that a person is asked to read."""


class Branch(BaseModel):
    """A branch of the copy, as it was when it was proposed. What a model leaves out is taken from the copy."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    branch: str = Field(description="Name of the branch, as git_branch started it")
    commit: SkipJsonSchema[str] = ""
    diff_sha256: SkipJsonSchema[str] = ""
    """Of the patch from the project's commit to this one, as it is shown."""
    remote: SkipJsonSchema[str] = ""


@dataclass(frozen=True)
class Pushing:
    """One way from copies of a project to a remote."""

    action: str
    project: Project
    remote: Remote
    allow_default: bool = False

    def fill_in(self, values: Any) -> Any:
        """The commit and the digest of the patch, as the copy has them now, where they are not said."""
        if not isinstance(values, Mapping) or "commit" in values or "branch" not in values:
            return values
        try:
            _, repository = repository_of(self.project)
            check_branch(str(values["branch"]))
            commit = repository.commit_of(f"refs/heads/{values['branch']}")
            if commit == repository.base:
                raise GitFailed("branch", f"{values['branch']!r} has no commit of yours. Commit with git_commit first.")
            self.history(repository, commit)  # it has to be one that can be shown
            shown = digest_text(self.diff(repository, commit))
        except ToolError as error:
            raise ValueError(str(error)) from error
        return {**values, "commit": commit, "diff_sha256": shown, "remote": self.remote.address}

    def diff(self, repository: Repository, commit: str) -> str:
        """The patch that a person is shown; GitFailed if it is too long."""
        return _short_enough(repository.diff(repository.base, commit, most=LONGEST * 4))

    def history(self, repository: Repository, commit: str) -> str:
        """All else that is pushed, and that a person is shown: messages, and what came and went in between."""
        return _short_enough(repository.history(repository.base, commit, most=LONGEST * 4))

    def check(self, branch: Branch) -> Repository:
        """The copy's git folder, if it has just what was shown; ActionFailed if not."""
        try:
            _, repository = repository_of(self.project)
            check_branch(branch.branch)
            if branch.remote != self.remote.address:
                raise GitFailed("push", f"it is for {branch.remote!r}, and this is {self.remote.address!r}.")
            if not repository.has(branch.commit):
                raise GitFailed("push", f"the copy has no commit {branch.commit[:12]!r}: it was thrown away since.")
            if digest_text(self.diff(repository, branch.commit)) != branch.diff_sha256:
                raise GitFailed("push", f"the patch of {branch.commit[:12]} is not the one that was shown.")
        except ToolError as error:
            raise ActionFailed(self.action, f"{error} Nothing was pushed.") from error
        return repository

    def check_remote(self, branch: Branch, repository: Repository, base: str = "") -> Refs:
        """What the remote has, if the branch may be put there; ActionFailed if not: nothing was done then."""
        try:
            refs = self.remote.refs()
            if refs.may_be_default(branch.branch, base) and not self.allow_default:
                raise GitFailed("push", f"{branch.branch!r} is the remote's own branch. Commit to another one.")
            there = refs.branch(branch.branch)
            if there and there != branch.commit and not repository.is_ancestor(there, branch.commit):
                raise GitFailed(
                    "push", f"the remote has another branch {branch.branch!r}, at {there[:12]}. Take another name."
                )
            onto = base or refs.default
            place = f" in {onto!r}" if onto else ""
            if not self.remote.knows(repository, repository.base, refs, onto):
                raise GitFailed(
                    "push",
                    f"the remote does not have the project's commit {repository.base[:12]}{place}, and what was not "
                    "shown would be pushed with it. Push that commit first.",
                )
        except ToolError as error:
            raise ActionFailed(self.action, f"{error} Nothing was pushed.") from error
        return refs

    def push(self, branch: Branch, repository: Repository, found: Refs, more: Mapping[str, str] | None = None) -> None:
        """Put the commit there, if it is not; ActionFailed only if it surely is not."""
        wanted = {f"refs/heads/{branch.branch}": branch.commit, **(more or {})}
        todo = {name: source for name, source in wanted.items() if found.ids.get(name) != source}
        if not todo:
            return
        try:
            self.remote.push(repository, todo, found)
        except GitFailed as error:
            now = self.remote.refs()  # GitFailed: it is not known
            if all(now.ids.get(name) == source for name, source in wanted.items()):
                return
            raise ActionFailed(self.action, f"{error} Nothing was pushed.") from error

    def preview(self, branch: Branch) -> str:
        """Where it goes, the commits one by one, and the whole patch."""
        _, repository = repository_of(self.project)
        patch = self.diff(repository, branch.commit)
        come, gone = count_lines(patch)
        changed = repository.status(repository.base, branch.commit)
        warning = warn_of_running(repository.written(repository.base, branch.commit))
        parts = [
            *([warning] if warning else []),
            f"Pushes {as_code(branch.branch)} at {as_code(branch.commit[:12])} to {as_code(branch.remote)}: "
            f"{len(changed)} files, {come} lines come, {gone} go.",
        ]
        if digest_text(patch) != branch.diff_sha256:
            parts.append("**This is not the patch that was proposed.** It will not be pushed.")
        parts.append(as_block(make_visible(self.history(repository, branch.commit)), "diff"))
        parts.append("\n".join(f"- {letter} {as_code(path)}" for letter, path in changed))
        parts.append(as_block(make_visible(patch), "diff"))
        return "\n\n".join(parts)


def _short_enough(text: str) -> str:
    if len(text) > LONGEST:
        raise GitFailed(
            "diff", f"it has {len(text):,} characters, and {LONGEST:,} can be shown. Propose less at a time."
        )
    return text
