"""The confinement of a container: all that an engine is told of it, and as whom a job runs in it."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from signoff.checkpoints.process_identity import current_owner
from signoff.tools.sandbox.bubblewrap import forwarder
from signoff.tools.sandbox.bubblewrap.mounts import given_paths
from signoff.tools.sandbox.bubblewrap.user import NOBODY
from signoff.tools.sandbox.sandbox import MB, Job

OWNER: Final = "signoff.owner"
"""The label that says whose container it is, so that what a killed process left behind is found."""
FORWARDER: Final = "/run/forwarder.py"


ENVIRONMENT: Final = {
    "HOME": "/work",
    "TMPDIR": "/tmp",
    "LANG": "C.UTF-8",
    "TZ": "UTC",
    "PYTHONDONTWRITEBYTECODE": "1",
}
PROXIES: Final = ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy")


@dataclass(frozen=True)
class User:
    """As whom a job runs: never as root of this machine."""

    number: int
    group: int
    mapping: str = ""
    """How the engine is asked to map users; empty: as it does unasked."""


def container_user(info: Mapping[str, Any]) -> User:
    """A user who can write to a folder of ours, by what the engine says of itself."""
    if sys.platform != "linux":  # there the engine is in a virtual machine, where all files count as the user's own
        return User(NOBODY, NOBODY)
    if os.geteuid() == 0:
        return User(NOBODY, NOBODY)
    if info.get("Rootless") and "BuildahVersion" in info:  # Podman
        return User(os.getuid(), os.getgid(), "keep-id")
    if any("rootless" in option for option in info.get("SecurityOptions") or ()):
        return User(0, 0)  # root inside is us outside, and without any capability inside
    return User(os.getuid(), os.getgid())


def confinement(job: Job, folder: Path, user: User, volumes: Iterable[str]) -> dict[str, Any]:
    """The options of a container for this job, with this folder as `/work`; `volumes` are those of the image."""
    from docker.types import LogConfig, Mount, Ulimit

    limits = job.limits
    given, command, env = dict(given_paths(job)), job.command, {**ENVIRONMENT, **job.env}
    if job.door:
        given[FORWARDER] = Path(forwarder.__file__)
        command = ("python3", "-I", FORWARDER, *command)
        env = {**dict.fromkeys(PROXIES, f"http://127.0.0.1:{forwarder.PORT}"), **env}
    mounts = [Mount("/work", str(folder), type="bind")]
    mounts += [Mount(inside, str(path.resolve()), type="bind", read_only=True) for inside, path in given.items()]
    scratch = max(limits.disk_mb // 4, 1) * MB
    # The number of processes is limited by the cgroup. Podman would raise the ulimit, which not every root may.
    ulimits = {"core": 0, "cpu": limits.cpu_seconds, "fsize": limits.disk_mb * MB, "nofile": 1024, "nproc": 16_384}
    return {
        "entrypoint": [command[0]],
        "command": list(command[1:]),
        "environment": env,  # beside the variables of the image
        "use_config_proxy": False,
        "working_dir": "/work",
        "hostname": "sandbox",
        "stdin_open": bool(job.stdin),
        "labels": {OWNER: current_owner()},
        "mounts": mounts,
        # A volume of the image would be a place on the disk that nothing limits.
        "tmpfs": dict.fromkeys(("/tmp", *volumes), f"size={scratch},mode=1777"),
        "shm_size": scratch,
        "read_only": True,
        "user": f"{user.number}:{user.group}",
        "userns_mode": user.mapping,
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges"],
        "network_mode": "none",
        "ipc_mode": "private",
        "mem_limit": limits.memory_mb * MB,
        "memswap_limit": limits.memory_mb * MB,
        "pids_limit": limits.processes,
        "nano_cpus": 10**9,
        "ulimits": [Ulimit(name=name, soft=most, hard=most) for name, most in ulimits.items()],
        "log_config": LogConfig(type=LogConfig.types.NONE),  # else the engine keeps all output, on the disk
    }
