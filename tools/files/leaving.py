"""What of a project is left out of its copy: secrets, what programs made, and links that lead out."""

from __future__ import annotations

import posixpath
import re
from typing import Final

from signoff.checkpoints.secret_patterns import covers
from signoff.tools.storage.confined_folder import stays_inside

MADE: Final = frozenset(
    ".git .hg .svn .signoff node_modules __pycache__ .venv .tox .nox .mypy_cache .ruff_cache .pytest_cache "
    ".hypothesis .gradle .terraform".split()
)
"""Folders that are not entered, unless git keeps files in them."""

_SECRET: Final = re.compile(
    r"\.env(?:\..+)?|.+\.env|\.netrc|_netrc|\.pypirc|\.npmrc|\.pgpass|\.htpasswd|\.git-credentials|\.dockercfg|kubeconfig"
    r"|id_(?:rsa|dsa|ecdsa|ed25519)(?:_.*)?|.+\.(?:pem|key|p12|pfx|jks|keystore|kdbx|ppk|tfstate)",
    re.IGNORECASE,
)
_EXAMPLE: Final = re.compile(r".*\.(?:example|sample|template|dist|tmpl)", re.IGNORECASE)
_FORMS: Final = frozenset(
    ("", ".json", ".yaml", ".yml", ".toml", ".ini", ".cfg", ".conf", ".txt", ".properties", ".xml")
)
"""Files of values, which are secret if their name says so; `tokens.py` is a program."""


def is_secret(path: str) -> bool:
    """Whether the name of a file says that there are secrets in it."""
    name = posixpath.basename(path)
    if _EXAMPLE.fullmatch(name):
        return False
    stem, form = posixpath.splitext(name)
    return bool(_SECRET.fullmatch(name)) or (form.lower() in _FORMS and covers(stem) == "everything")


def is_made(path: str) -> bool:
    """Whether it lies in a folder that programs make."""
    return not MADE.isdisjoint(path.split("/")[:-1])


def leads_out(path: str, target: str) -> bool:
    """Whether a link at this path may lead out of the project, or into what git keeps there."""
    if "\0" in target or not stays_inside(path, target):
        return True
    return posixpath.normpath(posixpath.join(posixpath.dirname(path), target)).split("/")[0] == ".git"
