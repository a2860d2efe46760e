"""Drawing a team's graph."""

from __future__ import annotations

import sys
from pathlib import Path

from signoff.desk.cli.terminal import print_json
from signoff.errors import MissingExtra
from signoff.graphs.teams.catalog import team_graph


def draw_team(name: str, *, png: Path | None, json: bool) -> None:
    """Print a team's graph as Mermaid text, or write it as a PNG picture."""
    drawing = team_graph(name).compile().get_graph()
    if png is not None:
        png.write_bytes(picture(drawing.draw_mermaid()))
    if json:
        print_json({"team": name, "graph": drawing.to_json(), "png": str(png) if png else None})
    else:
        sys.stdout.write(f"Wrote {png}\n" if png else drawing.draw_mermaid())


def picture(mermaid: str) -> bytes:
    """The picture of a Mermaid text, PNG; drawn here, without a browser or the network."""
    try:
        import mermaidx  # type: ignore[import-untyped]  # it ships no types
    except ImportError as error:
        raise MissingExtra("Drawing a picture", "png") from error
    drawn: bytes = mermaidx.render(mermaid).png()
    return drawn
