"""A chart: a PNG drawn from one query, named by its content."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Final, Literal

from signoff.errors import BlobMissing
from signoff.tools.storage.atomic import write_whole
from signoff.tools.storage.blobs import Blobs

Kind = Literal["bar", "line", "scatter", "histogram", "box"]

_NAME: Final = re.compile(r"chart-[0-9a-f]{12}\.png")


@dataclass(frozen=True)
class Chart:
    """A picture, and the query that it was drawn from. In a notebook it shows itself."""

    title: str
    kind: Kind
    sql: str
    rows: int
    """Rows that were drawn."""
    png: bytes
    note: str = ""
    """What the picture leaves out."""

    @cached_property
    def sha256(self) -> str:
        """Digest of the picture."""
        return hashlib.sha256(self.png).hexdigest()

    @property
    def name(self) -> str:
        """Name of its file."""
        return f"chart-{self.sha256[:12]}.png"

    @property
    def markdown(self) -> str:
        """How a text shows it."""
        return f"![{alternative(self.title)}]({self.name})"

    def _repr_png_(self) -> bytes:
        return self.png


class Charts:
    """Charts that were drawn: the pictures among the blobs, and beside them what each was drawn from."""

    def __init__(self, home: Path | str = ".signoff") -> None:
        self.blobs = Blobs(home)
        self._folder = Path(home).expanduser().absolute() / "charts"

    def keep(self, chart: Chart) -> Chart:
        """Keep a chart, so that `find` finds it by its name."""
        about = {**asdict(replace(chart, png=b"")), "png": self.blobs.keep(chart.png)}
        write_whole(self._folder / f"{chart.name}.json", json.dumps(about).encode("utf-8"))
        return chart

    def find(self, name: str) -> Chart | None:
        """The chart of this name, such as `chart-0123456789ab.png`; None if none was kept, or its picture is gone."""
        found = _NAME.search(name)
        if found is None:
            return None
        try:
            about = json.loads((self._folder / f"{found[0]}.json").read_text(encoding="utf-8"))
            return Chart(**{**about, "png": self.blobs.read(about["png"])})
        except (FileNotFoundError, BlobMissing):
            return None


def alternative(title: str) -> str:
    """A title as the text that stands in for a picture in Markdown."""
    return re.sub(r"([\\`*_\[\]<>!&$~|])", r"\\\1", " ".join(title.split()))
