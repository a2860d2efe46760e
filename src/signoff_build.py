"""The build backend: setuptools, whose editable installs type checkers can follow too.

setuptools maps our folders by a finder, which is code, and type checkers run none. They do read paths in `.pth` files,
so that of this folder is added: it holds a link to the package, and no other package. Without links only the finder
does it.
"""

from base64 import urlsafe_b64encode
from hashlib import sha256
from pathlib import Path
from typing import Any
from zipfile import ZipFile

from setuptools.build_meta import *  # noqa: F403  # what a backend has to have
from setuptools.build_meta import build_editable as _build_editable

_HERE = Path(__file__).absolute().parent


def build_editable(
    wheel_directory: str, config_settings: dict[str, Any] | None = None, metadata_directory: str | None = None
) -> str:
    """Make the wheel that an editable install is, and return its name."""
    name = _build_editable(wheel_directory, config_settings, metadata_directory)
    if (_HERE / "signoff" / "graphs" / "__init__.py").is_file():
        _add(Path(wheel_directory, name), "signoff_checkout.pth", f"{_HERE}\n".encode())
    return name


def _add(wheel: Path, name: str, text: bytes) -> None:
    with ZipFile(wheel) as made:
        files = {file: made.read(file) for file in made.namelist()}
    (record,) = [file for file in files if file.endswith(".dist-info/RECORD")]
    digest = urlsafe_b64encode(sha256(text).digest()).rstrip(b"=").decode()
    files[name] = text
    files[record] += f"{name},sha256={digest},{len(text)}\n".encode()
    with ZipFile(wheel, "w") as anew:
        for file, content in files.items():
            anew.writestr(file, content)
