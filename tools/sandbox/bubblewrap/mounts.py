"""All that a job in bubblewrap sees, as the arguments of bwrap."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from signoff.error_base import TeamError
from signoff.tools.sandbox.bubblewrap import forwarder
from signoff.tools.sandbox.bubblewrap.seccomp import seccomp_filter
from signoff.tools.sandbox.bubblewrap.user import sandbox_user
from signoff.tools.sandbox.sandbox import ENVIRONMENT, MB, Job

USER = 1000
"""The user and the group inside, which own the workspace; outside they are whoever runs bwrap."""
SHARED_MEMORY_MB = 64

FORWARDER = "/run/forwarder.py"
PROXIES = dict.fromkeys(
    ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"), f"http://127.0.0.1:{forwarder.PORT}"
)
_ADD_SEALS, _ALL_SEALS = 1033, 0xF
"""Of fcntl: F_ADD_SEALS, with those against sealing, shrinking, growing and writing."""
_OWN = ("work", "proc", "dev", "sys")
"""Top folders that nothing can be given in."""
_ETC = {
    "passwd": f"agent:x:{USER}:{USER}::/work:/bin/sh\nnobody:x:65534:65534::/:/bin/false\n",
    "group": f"agent:x:{USER}:\nnogroup:x:65534:\n",
    "hosts": "127.0.0.1 localhost sandbox\n::1 localhost\n",
    "nsswitch.conf": "passwd: files\ngroup: files\nhosts: files\n",
}
_SHARED_ETC = ("ld.so.cache", "alternatives", "ssl/certs", "pki/tls/certs", "gnucobol", "java-*")
"""Of the host's: where libraries, commands, the certificates of authorities and the settings of compilers are."""


def given_paths(job: Job) -> dict[str, Path]:
    """What the job is given, and its door, by the path inside; TeamError for what cannot be given."""
    given = {_place(inside): _source(path) for inside, path in job.given.items()}
    nested = [inside for inside in given if any(str(above) in given for above in PurePosixPath(inside).parents)]
    if nested:
        raise TeamError(f"{nested[0]!r} is inside of what else is given to the sandbox. Give it another place.")
    return given | ({forwarder.DOOR: job.door} if job.door else {})


def python_paths() -> dict[str, Path]:
    """The Python that this one is, without the packages of its virtual environment, if it is not in /usr."""
    prefix = Path(sys.base_prefix).resolve()
    if prefix.is_relative_to("/usr"):
        return {}
    # Not the whole prefix: environments of a user are kept in there too.
    return {str(prefix / name): prefix / name for name in ("bin", "lib") if (prefix / name).is_dir()}


def options(job: Job, places: Mapping[str, Path], open_files: OpenFiles) -> list[str]:
    """Options of bwrap that make what a job sees; `places` is where the host's paths are, by their path inside."""
    found = [
        "--unshare-user", "--unshare-ipc", "--unshare-pid", "--unshare-net", "--unshare-uts", "--unshare-cgroup-try",
        "--disable-userns", "--assert-userns-disabled", "--uid", str(USER), "--gid", str(USER),
        "--hostname", "sandbox", "--new-session", "--die-with-parent", "--clearenv",
        *_system(), "--proc", "/proc", "--dev", "/dev",
        *_memory("/dev/shm", SHARED_MEMORY_MB, "1777"), *_memory("/tmp", temporary_mb(job), "1777"),
        *_memory("/work", job.limits.disk_mb, "0755"), "--dir", "/run",
    ]  # fmt: skip
    files = {f"/etc/{name}": text.encode() for name, text in _ETC.items()}
    if job.door:
        files[FORWARDER] = Path(forwarder.__file__).read_bytes()
    for inside, raw in files.items():
        found += ["--perms", "0444", "--ro-bind-data", str(open_files.hold(raw)), inside]
    for inside, path in places.items():
        found += ["--ro-bind", str(path), inside]
    found += _without_packages()
    program = seccomp_filter()
    if program:
        found += ["--seccomp", str(open_files.hold(program))]
    for name, value in environment(job).items():
        found += ["--setenv", name, value]
    # All that can be written to is /work, /tmp and /dev/shm, which are bounded.
    return [*found, "--remount-ro", "/dev", "--remount-ro", "/", "--chdir", "/work"]


def _without_packages() -> list[str]:
    """Hide what is installed for this Python: it tells of the host, and some of it would run at each start."""
    site = Path(interpreter()).parents[1] / "lib" / Path(interpreter()).name / "site-packages"
    if not python_paths() or not site.is_dir():
        return []
    return [*_memory(str(site), 1, "0755"), "--remount-ro", str(site)]


def command(job: Job) -> list[str]:
    return [interpreter(), "-I", "-S", FORWARDER, *job.command] if job.door else list(job.command)


def environment(job: Job) -> dict[str, str]:
    own = {
        "PATH": os.pathsep.join([str(Path(interpreter()).parent), "/usr/local/bin", "/usr/bin", "/bin"]),
        **ENVIRONMENT,
        "PYTHONNOUSERSITE": "1",
        # As many as there are cores would be too many for the limits.
        "OMP_NUM_THREADS": "2",
        "OPENBLAS_NUM_THREADS": "2",
    }
    return own | (PROXIES if job.door else {}) | dict(job.env)


def interpreter() -> str:
    """The Python inside."""
    prefix = Path(sys.base_prefix).resolve()
    return str(prefix / "bin" / f"python{sys.version_info.major}.{sys.version_info.minor}")


def temporary_mb(job: Job) -> int:
    return max(job.limits.disk_mb // 4, 1)


def in_memory_mb(job: Job) -> int:
    """What all file systems that can be written to may hold, which is memory."""
    return job.limits.disk_mb + temporary_mb(job) + SHARED_MEMORY_MB


class OpenFiles:
    """Files that are open for one job, some of them inherited by bwrap; closed on leaving."""

    def __init__(self) -> None:
        self._open: set[int] = set()
        self.inherited: tuple[int, ...] = ()

    def __enter__(self) -> OpenFiles:
        return self

    def __exit__(self, *_: object) -> None:
        for number in tuple(self._open):
            self.close(number)

    def keep(self, number: int, *, inherited: bool = False) -> int:
        """Have it closed at the end."""
        self._open.add(number)
        self.inherited += (number,) if inherited else ()
        return number

    def close(self, number: int) -> None:
        """Close one before the end."""
        self._open.remove(number)
        os.close(number)

    def hold(self, raw: bytes, *, inherited: bool = True) -> int:
        """A file in memory with this content, which cannot be changed."""
        import fcntl

        number = self.keep(os.memfd_create("held", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING), inherited=inherited)
        with os.fdopen(os.dup(number), "wb") as file:
            file.write(raw)
        os.lseek(number, 0, os.SEEK_SET)
        fcntl.fcntl(number, _ADD_SEALS, _ALL_SEALS)
        return number


def _system() -> list[str]:
    """The host's programs and libraries."""
    found = ["--ro-bind", "/usr", "/usr"]
    for name in ("bin", "sbin", "lib", "lib32", "lib64", "libx32"):
        path = Path("/", name)
        if path.is_symlink():
            found += ["--symlink", os.readlink(path), str(path)]
        elif path.is_dir():
            found += ["--ro-bind", str(path), str(path)]
    for name in _SHARED_ETC:
        for path in Path("/etc").glob(name):
            found += ["--ro-bind-try", str(path), str(path)]
    return found


def _memory(place: str, megabytes: int, mode: str) -> list[str]:
    return ["--perms", mode, "--size", str(megabytes * MB), "--tmpfs", place]


def _place(inside: str) -> str:
    """Where something is given, if it may be there."""
    path = PurePosixPath(inside)
    if not path.is_absolute() or ".." in path.parts or len(path.parts) < 2 or path.parts[1] in _OWN:
        raise TeamError(
            f"Nothing can be given to a sandbox at {inside!r}. Give an absolute path, outside of "
            f"{', '.join(f'/{name}' for name in _OWN)}."
        )
    return str(path)


def _source(path: Path) -> Path:
    """A file or folder of the host, if the sandbox's user can read it."""
    try:
        mode = path.stat().st_mode
    except OSError as error:
        raise TeamError(f"{str(path)!r} cannot be given to a sandbox: {error.strerror}.") from error
    needed = 0o005 if path.is_dir() else 0o004
    if sandbox_user() is not None and mode & needed != needed:
        raise TeamError(
            f"{str(path)!r} cannot be given to a sandbox: started by root, it runs as nobody, who may not read this. "
            f"Allow it: chmod -R o+rX {str(path)!r}."
        )
    return path.absolute()
