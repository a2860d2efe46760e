"""The secrets file: which secrets there are, where each value comes from, and which tool may use it where."""

from __future__ import annotations

import os
import re
import stat
import subprocess
import tomllib
from collections.abc import Mapping
from functools import cache, lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Final, Literal
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    SecretStr,
    ValidationError,
    model_validator,
)
from pydantic_core import CoreSchema, core_schema

from signoff.error_base import SettingsError
from signoff.settings import Settings
from signoff.tools.storage.atomic import explain
from signoff.wording import place_of

SHORTEST: Final = 8
"""Characters of a secret; to take a shorter one out of answers would take words out of them."""
PLACE: Final = "{secret}"
"""What the value replaces in a template."""

_NAME: Final = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_TOKEN: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_HOST: Final = re.compile(r"(\*\.)?[a-z0-9_-]+(\.[a-z0-9_-]+)*|\[[0-9a-f:.]+\]|\*")


def _check_host(text: str) -> str:
    """A name, `*.name` or `*`, and a port if it is not the usual one."""
    host, _, port = text.lower().rpartition(":") if re.search(r":\d+$", text) else (text.lower(), "", "")
    if not _HOST.fullmatch(host) or (port and not 0 < int(port) < 65536):
        raise ValueError(f"{text!r} is no host; write 'api.example.org', '*.example.org' or 'localhost:8080'")
    return f"{host}:{port}" if port else host


def _check_method(method: str) -> str:
    if not _TOKEN.fullmatch(method) or method.upper() in ("CONNECT", "TRACE"):
        raise ValueError(f"{method!r} is no method that can be allowed")
    return method.upper()


def _check_header(name: str) -> str:
    if not _TOKEN.fullmatch(name) or name.lower().replace("_", "-") in headers_listed("never_of_requests"):
        raise ValueError(f"{name!r} is no header that can be handed on")
    return name


def _check_path(path: str) -> str:
    if not path.startswith("/"):
        raise ValueError(f"the path {path!r} does not begin with '/'")
    return path


def _check_name(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise ValueError(f"the name {name!r} has other characters than letters, digits, '_', '-' and '.'")
    return name


class SecretName(str):
    """The name of a secret of the broker, as the type of a field of a team's input; never its value."""

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        del source
        return core_schema.no_info_after_validator_function(cls, handler(str))

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {"description": "The name of a secret, never its value.", **handler(schema)}


Host = Annotated[str, AfterValidator(_check_host)]
Method = Annotated[str, AfterValidator(_check_method)]
HeaderName = Annotated[str, AfterValidator(_check_header)]
UrlPath = Annotated[str, AfterValidator(_check_path)]
Name = Annotated[str, AfterValidator(_check_name)]


@cache
def headers_listed(*lists: str) -> frozenset[str]:
    """The headers of these lists of headers.toml."""
    found = tomllib.loads(files(__package__).joinpath("headers.toml").read_text("utf-8"))
    return frozenset(name for each in lists for name in found[each].split())


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Rule(_Entry):
    """Where some tools may go."""

    hosts: tuple[Host, ...] = Field(min_length=1)
    tools: tuple[Name, ...] = Field(min_length=1)
    methods: tuple[Method, ...] = Field(("GET", "HEAD"), min_length=1)
    paths: tuple[UrlPath, ...] = ()
    """With `*` for any characters; empty means all paths."""
    scheme: Literal["https", "http"] = "https"
    """What is spoken with the host, whatever the request says."""
    headers: tuple[HeaderName, ...] = ()
    """Headers of requests that are handed on, beside those that usually are."""
    private: bool = False
    """Whether the host may lie inside a network."""

    def reaches(self, host: str, port: int | None) -> bool:
        """Whether it is about this host; no port means the one that the rule has."""
        return any(port in (None, own) for own in self.ports_of(host))

    def ports_of(self, host: str) -> list[int]:
        """The ports of those of its hosts that this is."""
        usual = 443 if self.scheme == "https" else 80
        return [int(port or usual) for name, port in map(_split_host, self.hosts) if _is_host(host, name)]

    def has_path(self, path: str) -> bool:
        return not self.paths or any(_path_pattern(pattern).fullmatch(path) for pattern in self.paths)


class OpenRule(Rule):
    """Hosts that some tools may reach without a credential."""

    tunnel: bool = False
    """Whether CONNECT is allowed: through a tunnel nobody sees methods, paths and answers."""


class SecretRule(Rule):
    """Where a secret is added, and how: in a header, as basic authentication, or as a parameter of the query."""

    header: str = ""
    basic: str = ""
    """User and password such as `me:{secret}`."""
    query: str = ""
    template: str = ""
    """What stands there; `Bearer {secret}` in `Authorization`, else `{secret}`."""

    @model_validator(mode="after")
    def _check(self) -> SecretRule:
        if sum(map(bool, (self.header, self.basic, self.query))) > 1:
            raise ValueError("header, basic and query are three ways of one; choose one")
        framing = headers_listed("never_of_requests")
        if self.header and (not _TOKEN.fullmatch(self.header) or self.header.lower() in framing):
            raise ValueError(f"{self.header!r} is no header for a secret")
        if self.basic and (self.template or ":" not in self.basic or PLACE not in self.basic):
            raise ValueError("basic is user and password in one, such as 'me:{secret}', without a template")
        if self.template and PLACE not in self.template:
            raise ValueError("the template has no {secret} in it")
        for host in self.hosts:
            if host.startswith("*") and "." not in _split_host(host)[0][2:]:
                raise ValueError(f"{host!r} is too wide for a secret; name a host or '*.name.tld'")
        return self

    @property
    def header_name(self) -> str:
        """The header it is added in; empty if it is a parameter of the query."""
        return "" if self.query else self.header or "Authorization"

    @property
    def filled_in(self) -> str:
        return self.basic or self.template or (f"Bearer {PLACE}" if self.header_name == "Authorization" else PLACE)


class Secret(_Entry):
    """A secret: where its value comes from, and where it goes."""

    value: SecretStr | None = None
    env: str = ""
    """A variable of the environment that the run was started with."""
    file: str = ""
    command: tuple[str, ...] = ()
    """A program that prints it, started without a shell."""
    rules: tuple[SecretRule, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _check(self) -> Secret:
        if sum(map(bool, (self.value, self.env, self.file, self.command))) != 1:
            raise ValueError("say where its value comes from: one of value, env, file and command")
        return self

    @property
    def source(self) -> str:
        """Where its value comes from, in words."""
        if self.env:
            return f"the variable {self.env}"
        if self.command:
            return f"the program {self.command[0]}"
        return f"the file {self.file}" if self.file else "the file"


class Bounds(_Entry):
    """How much one request may take."""

    seconds: float = Field(300.0, gt=0, le=86_400)
    megabytes: float = Field(50.0, gt=0, le=10_000)
    """Of what is sent, and of what is answered."""


class SecretsFile(_Entry):
    """What stands in a secrets file."""

    secrets: dict[Name, Secret] = Field(default_factory=dict)
    open: tuple[OpenRule, ...] = ()
    limits: Bounds = Bounds()


class Listed(_Entry):
    """What may be known of a secret."""

    name: str
    source: str
    available: bool = True
    rules: tuple[SecretRule, ...] = ()


class Listing(_Entry):
    """What may be known of a secrets file; there is no value in it."""

    secrets: tuple[Listed, ...] = ()
    open: tuple[OpenRule, ...] = ()

    @property
    def tools(self) -> frozenset[str]:
        """The tools that may reach anything."""
        rules = [*self.open, *(rule for secret in self.secrets for rule in secret.rules)]
        return frozenset(name for rule in rules for name in rule.tools)


def _split_host(text: str) -> tuple[str, str]:
    """Host and port, which may be empty; an IPv6 address without its brackets."""
    found = urlsplit(f"//{text}")
    return found.hostname or "", str(found.port or "")


def _is_host(host: str, pattern: str) -> bool:
    return pattern == "*" or host == pattern or (pattern.startswith("*.") and host.endswith(pattern[1:]))


@lru_cache(maxsize=1024)
def _path_pattern(pattern: str) -> re.Pattern[str]:
    return re.compile(".*".join(map(re.escape, pattern.split("*"))), re.DOTALL)


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
        raise SettingsError(SETTING, f"{str(path)!r} is no TOML: {error}", "See docs/tools/secrets.md.") from None
    except ValidationError as error:
        # Not str(error): it shows what it was given.
        first = error.errors(include_input=False, include_url=False, include_context=False)[0]
        place = place_of(first["loc"])
        problem = first["msg"].removeprefix("Value error, ")
        raise SettingsError(SETTING, f"{place} of {str(path)!r}: {problem}", "See docs/tools/secrets.md.") from None


def secret_names(settings: Settings) -> list[str]:
    """The names in the secrets file of the settings; none without one. SettingsError as `read_secrets_file`."""
    return sorted(read_secrets_file(settings.secrets.expanduser()).secrets) if settings.secrets is not None else []


def read_values(secrets: SecretsFile, environment: Mapping[str, str], *, again: bool) -> dict[str, str]:
    """The values by name. `again`: a variable that an earlier broker took away is no error, its secret is left out."""
    values = {}
    for name, secret in secrets.secrets.items():
        if again and secret.env and secret.env not in environment:
            continue
        value = _value(name, secret, environment)
        if len(value) < SHORTEST:
            raise _wrong(name, f"it has fewer than {SHORTEST} characters", "It could not be told from ordinary words.")
        is_plain = value.isascii() and value.isprintable()
        if not is_plain and any(rule.header_name and not rule.basic for rule in secret.rules):
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
    raw = _read_private(Path(secret.file).expanduser()) if secret.file else _run(name, secret.command, environment)
    try:
        return raw.decode().rstrip("\r\n")
    except UnicodeDecodeError:
        raise _wrong(name, "its value is not UTF-8", "Only texts can be added to a request.") from None


def _run(name: str, command: tuple[str, ...], environment: Mapping[str, str]) -> bytes:
    """What the program prints. It is the user's own, and may need the whole environment to unlock a vault."""
    try:
        env, nothing = dict(environment), subprocess.DEVNULL
        done = subprocess.run(command, env=env, stdin=nothing, capture_output=True, timeout=_PATIENCE, check=False)
    except OSError as error:
        raise _wrong(name, f"{command[0]!r} cannot be started: {explain(error)}", "Correct the command.") from None
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
        raise SettingsError(SETTING, f"{str(path)!r} cannot be read: {explain(error)}", "Correct the path.") from None


def _wrong(name: str, problem: str, remedy: str) -> SettingsError:
    return SettingsError(SETTING, f"the secret {name!r}: {problem}", remedy)
