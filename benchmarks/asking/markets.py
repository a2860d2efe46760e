"""Folders of company pages: the release metadata of packages, fetched by name and version, held to their digests.

`python benchmarks/asking/markets.py FOLDER` writes FOLDER/frameworks and FOLDER/vectors, a page for each package. What
says who wrote it, and who praises it, is left out, and so is every mail address.
"""

import re
import shutil
import sys
import tomllib
import zipfile
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from asking.corpora import Package, Unavailable, fetched

FILE = Path(__file__).with_name("markets.toml")
CACHE = Path.home() / ".cache" / "signoff-benchmarks" / "packages"
_PEOPLE = re.compile(r"^(?:(?:Author|Maintainer)(?:-email)?:|[ \t]*author *=).*\n(?:[ \t]+.*\n)*", re.MULTILINE | re.I)
_MAIL = re.compile(r"^.*[\w.+-]+@[\w-]+\.[a-z]{2,}.*\n?", re.MULTILINE | re.IGNORECASE)
_HEADING = re.compile(r"^(#{1,6}) +(.*)$|^(\S.*)\n([=~^-]{3,})$", re.MULTILINE)
_OF_PEOPLE = re.compile(
    r"\b(?:(?:author|contributor|maintainer|sponsor|backer|opinion)s?|credits|thanks|team)\b", re.IGNORECASE
)


def page_of(metadata: str) -> str:
    """The metadata as a page without people: no headers, mail addresses or sections about them."""
    text = _MAIL.sub("", _PEOPLE.sub("", metadata.replace("\r\n", "\n")))
    kept, start, dropping = [], 0, 0
    for heading in _HEADING.finditer(text):
        level = len(heading[1]) if heading[1] else "=-~^".find(heading[4][0]) + 1
        if not dropping:
            kept.append(text[start : heading.start()])
        start = heading.start()
        if dropping and level > dropping:
            continue
        dropping = level if _OF_PEOPLE.search(heading[2] or heading[3]) else 0
    return "".join([*kept, text[start:] if not dropping else ""])


def build(folder: Path, cache: Path = CACHE) -> list[str]:
    """Write the pages that are not there yet; what could not be had."""
    missing = []
    for market in tomllib.loads(FILE.read_text(encoding="utf-8"))["markets"]:
        place = folder / market["name"]
        place.mkdir(parents=True, exist_ok=True)
        for given in market["packages"]:
            target = place / f"{given['name']}.txt"
            if target.exists():
                continue
            try:
                wheel = fetched(Package(**given, take=(), into="", kind="wheel"), cache)
            except Unavailable as error:
                missing.append(str(error))
                continue
            with zipfile.ZipFile(wheel) as opened:
                (name,) = [name for name in opened.namelist() if re.fullmatch(r"[^/]+\.dist-info/METADATA", name)]
                half = target.with_suffix(".half")
                half.write_text(page_of(opened.read(name).decode("utf-8")), encoding="utf-8")
                shutil.move(half, target)
    return missing


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(f"Name a folder: {sys.argv[0]} FOLDER")
    for problem in build(Path(sys.argv[1])):
        print(f"Left out: {problem}", file=sys.stderr)
    print(f"Pages of companies: {sys.argv[1]}")
