"""A small repository to work on, with a fault in it, and what a model sends to mend that."""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

CALC = "def add(a, b):\n    return a - b\n\n\ndef mul(a, b):\n    return a * b\n"
TESTS = """\
import unittest

from calc import add, mul


class Arithmetic(unittest.TestCase):
    def test_add(self):
        self.assertEqual(add(2, 3), 5)

    def test_mul(self):
        self.assertEqual(mul(2, 3), 6)


if __name__ == "__main__":
    unittest.main()
"""
FILES: Mapping[str, str] = MappingProxyType(
    {
        "calc.py": CALC,
        "tests/__init__.py": "",
        "tests/test_calc.py": TESTS,
        "README.md": "# Tin\n\nIt calculates.\n",
        ".github/workflows/test.yml": "on: push\n",
        ".gitignore": "build/\n",
    }
)
CHECK = "python3 -m unittest -q"
FIX = "sed -i 's/a - b/a + b/' calc.py"


def make_repository(folder: Path, files: Mapping[str, str] = FILES) -> Path:
    """A git repository of these files, with one commit."""
    for path, text in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    git(folder, "init", "-q", "-b", "main")
    git(folder, "add", "-A", "-f")
    git(folder, "commit", "-qm", "first")
    return folder


def git(folder: Path, *arguments: str) -> str:
    """As a person would call it."""
    who = ("-c", "user.name=Ann", "-c", "user.email=ann@example.org")
    done = subprocess.run(["git", *who, *arguments], cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def digest_of(text: str) -> str:
    """As a model is given it of a file with this text."""
    return hashlib.sha256(text.encode()).hexdigest()[:12]
