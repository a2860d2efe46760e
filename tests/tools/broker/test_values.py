"""A file of secrets that cannot be used is told of in one line, in which no secret stands."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from signoff.errors import SettingsError
from signoff.tools.broker.secrets_file import read_secrets_file, read_values

RULE = """
[[secrets.main.rules]]
hosts = ["api.example.org"]
tools = ["api"]
"""


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("secrets = 4711", "secrets of"),
        ("[secrets.main]\nvalue = 'planted-4711", "is no TOML"),
        ("[secrets.main]\nvalue = 'planted-4711'\nvalu = 'planted-4711'", "secrets.main"),
        ("[secrets.main]\nvalue = 'planted-4711'\nenv = 'X'\n{rule}", "one of value, env, file and command"),
        ("[secrets.main]\nvalue = 'planted-4711'\nrules = []", "secrets.main.rules"),
        ("[secrets.main]\nvalue = ['planted-4711']\n{rule}", "secrets.main.value"),
        ("[secrets.main]\nvalue = 'p-4711'\n{rule}", "fewer than 8 characters"),
        ('[secrets.main]\nvalue = "planted\\u0007-4711"\n{rule}', "cannot stand in a header"),
        ("[secrets.main]\nenv = 'NOT_SET'\n{rule}", "the variable NOT_SET is not set"),
        ("[secrets.main]\nfile = '/no/such/file'\n{rule}", "no such file"),
        ("[secrets.main]\ncommand = ['/no/such/program']\n{rule}", "cannot be started"),
        ("[secrets.main]\ncommand = ['{python}', '-c', 'exit(3)']\n{rule}", "ended with exit code 3"),
        ("[secrets.main]\nvalue = 'planted-4711'\n{rule}header = 'Host'", "no header for a secret"),
        ("[secrets.main]\nvalue = 'planted-4711'\n{rule}headers = ['Accept_Encoding']", "that can be handed on"),
        ("[secrets.main]\nvalue = 'planted-4711'\n{rule}header = 'X-Key'\nquery = 'key'", "choose one"),
        ("[secrets.main]\nvalue = 'planted-4711'\n{rule}template = 'Bearer'", "no {{secret}}"),
        ("[[secrets.main.rules]]\nhosts = ['*.com']\ntools = ['api']", "too wide for a secret"),
        ("[[open]]\nhosts = ['http://x']\ntools = ['api']", "is no host"),
        ("[[open]]\nhosts = ['x']\ntools = ['api']\nmethods = ['TRACE']", "no method that can be allowed"),
    ],
)
def test_a_file_that_makes_no_sense_is_refused_in_one_line_without_its_secrets(
    write_secrets: Callable[[str], Path], text: str, problem: str
) -> None:
    path = write_secrets(text.format(rule=RULE, python=sys.executable))
    with pytest.raises(SettingsError) as caught:
        read_values(read_secrets_file(path), {}, again=False)
    assert str(caught.value).startswith("SIGNOFF_SECRETS: ")
    assert problem.format() in str(caught.value)
    assert "4711" not in str(caught.value).replace(str(path), "").replace("4711 ", "")
    assert "\n" not in str(caught.value)
