"""What a program wrote, as it may be shown: no escape sequences, no control characters."""

from __future__ import annotations

import re

_ESCAPES = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]"  # CSI: colours, cursor, modes
    r"|\x1b[\]PX^_].*?(?:\x07|\x1b\\|\x9c|$)"  # OSC, DCS, SOS, PM, APC: titles, links, clipboard, up to their end
    r"|\x1b[ -/]*[0-~]"  # two characters and more
    r"|\x9b[0-?]*[ -/]*[@-~]",
    re.DOTALL,
)
_CONTROLS = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f"
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # they turn the direction of text around
    "\u2028\u2029\ufeff\U000e0000-\U000e007f]"  # line ends that no terminal shows, and tags that nothing shows
)


def readable(raw: bytes) -> tuple[str, int]:
    """The text of this output, and how many escape sequences and control characters were taken out of it."""
    text = raw.decode("utf-8", "replace").replace("\r\n", "\n")
    text, escapes = _ESCAPES.subn("", text)
    text, controls = _CONTROLS.subn("", text)
    return text, escapes + controls
