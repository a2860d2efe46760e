"""The values of secrets: read from where the secrets file says, by the broker's process alone."""

from __future__ import annotations

import os
import stat
import subprocess
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from signoff.errors import SettingsError
from signoff.tools.broker.secrets_file import SHORTEST, Secret, SecretsFile

SETTING: Final = "SIGNOFF_SECRETS"
_PATIENCE: Final = 60
"""Seconds a program may take to print a secret; somebody may have to type a passphrase."""


def read_secrets_file(path: Path) -> SecretsFile:
    """What stands in the file; SettingsError if others may read it, or if it makes no sense. No error tells a value."""
    raw = _read_private(path)
    try:
        return SecretsFile.model_validate(tomllib.loads(raw.decode()))
    except UnicodeDecodeError:
        raise SettingsError(SETTING, f"{str(path)!r} is not UTF-8", "Save it as UTF-8.") from None
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(SETTING, f"{str(path)!r} is no TOML: {error}", "See docs/secrets.md.") from None
    except ValidationError as error:
        # Not str(error): it shows what it was given.
        first = error.errors(include_input=False, include_url=False, include_context=False)[0]
        place = ".".join(map(str, first["loc"]))
        problem = first["msg"].removeprefix("Value error, ")
        raise SettingsError(SETTING, f"{place} of {str(path)!r}: {problem}", "See docs/secrets.md.") from None


def read_values(secrets: SecretsFile, environment: Mapping[str, str], *, again: bool) -> dict[str, str]:
    """The values by name. `again`: a variable that an earlier broker took away is no error, its secret is left out."""
    values = {}
    for name, secret in secrets.secrets.items():
        if again and secret.env and secret.env not in environment:
            continue
        value = _value(name, secret, environment)
        if len(value) < SHORTEST:
            raise _wrong(name, f"it has fewer than {SHORTEST} characters", "It could not be told from ordinary words.")
        if any(rule.header_name and not rule.basic for rule in secret.rules) and not (
            value.isascii() and value.isprintable()
        ):
            raise _wrong(name, "it has characters that cannot stand in a header", "Add it as basic or query.")
        values[name] = value
    return values


def _value(name: str, secret: Secret, environment: Mapping[str, str]) -> str:
    if secret.value is not None:
        return secret.value.get_secret_value()
    if secret.env:
        if secret.env not in environment:
            raise _wrong(name, f"the variable {secret.env} is not set", "Set it, or name a file or a command.")
        return environment[secret.env]
    if secret.file:
        return _decoded(name, _read_private(Path(secret.file).expanduser()))
    return _decoded(name, _run(name, secret.command, environment))


def _run(name: str, command: tuple[str, ...], environment: Mapping[str, str]) -> bytes:
    """What the program prints. It is the user's own, and may need the whole environment to unlock a vault."""
    try:
        done = subprocess.run(
            command,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_PATIENCE,
            check=False,
        )
    except OSError as error:
        problem = (error.strerror or type(error).__name__).lower()
        raise _wrong(name, f"{command[0]!r} cannot be started: {problem}", "Correct the command.") from None
    except subprocess.TimeoutExpired:
        raise _wrong(name, f"{command[0]!r} took more than {_PATIENCE} s", "Try it in a terminal.") from None
    if done.returncode:
        raise _wrong(name, f"{command[0]!r} ended with exit code {done.returncode}", "Try it in a terminal.")
    return done.stdout


def _read_private(path: Path) -> bytes:
    """The file's content, if nobody else may read it."""
    try:
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
        with os.fdopen(handle, "rb") as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise SettingsError(SETTING, f"{str(path)!r} is no ordinary file", "Name a file.")
            if os.name == "posix" and status.st_mode & 0o077:
                mode = stat.S_IMODE(status.st_mode)
                raise SettingsError(SETTING, f"others may use {str(path)!r} (mode {mode:o})", f"Run: chmod 600 {path}")
            return file.read()
    except OSError as error:
        problem = (error.strerror or type(error).__name__).lower()
        raise SettingsError(SETTING, f"{str(path)!r} cannot be read: {problem}", "Correct the path.") from None


def _decoded(name: str, raw: bytes) -> str:
    try:
        return raw.decode().rstrip("\r\n")
    except UnicodeDecodeError:
        raise _wrong(name, "its value is not UTF-8", "Only texts can be added to a request.") from None


def _wrong(name: str, problem: str, remedy: str) -> SettingsError:
    return SettingsError(SETTING, f"the secret {name!r}: {problem}", remedy)
