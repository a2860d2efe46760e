"""Remotes: where a branch is pushed to. Never by force, never the default branch, and looked up before and after."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit, urlunsplit

from signoff.errors import GitFailed, TeamError
from signoff.tools.git.command import run_git
from signoff.tools.git.repository import Repository

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
        if parts.scheme == "http" and not _is_loopback(parts.hostname or ""):
            raise TeamError(f"The remote {self.address!r} is not encrypted. Use https.")
        if parts.scheme == "" and "@" in self.address.partition(":")[0]:
            raise TeamError(f"The remote {self.address!r} is reached by SSH, which is not used. Give its https URL.")
        if parts.scheme == "" and not os.path.isabs(self.address):
            raise TeamError(f"The remote {self.address!r} is a relative path. Give an absolute one.")

    @property
    def is_local(self) -> bool:
        """Whether it is a folder of this machine."""
        return urlsplit(self.address).scheme in ("", "file")

    @cached_property
    def _url(self) -> str:
        """The address as git is given it. The broker speaks https where it is asked in http."""
        if self.is_local:
            return Path(self.address).as_uri() if self.address.startswith("/") else self.address
        parts = urlsplit(self.address)
        return urlunsplit(parts._replace(scheme="http")) if self.broker else self.address

    def refs(self) -> Refs:
        """Ask what it has."""
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
        self._run(
            repository,
            "push",
            *options,
            *(["--atomic"] if len(wanted) > 1 else []),
            *leases,
            "--",
            self._url,
            *specs,
        )

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
    asked = ("-C", str(project), "config", "--local", "--no-includes", "--get", f"remote.{name}.url")
    found = run_git(*asked, codes=(0, 1)).decode("utf-8", "replace").strip()
    if not found:
        raise GitFailed("remote", f"the project has no remote {name!r}. Name another, or give its address.")
    return found


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
