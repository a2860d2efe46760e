"""Archives: what a file in parts, such as one of Word or Excel, may have become once it is unpacked."""

from __future__ import annotations

import io
import zipfile

from signoff.tools.errors import Unreadable

MOST_TIMES = 100
"""As large as it is packed; text and numbers are packed to a tenth."""
_SMALL = 20_000_000
"""Bytes that are unpacked whatever they are packed to."""
_MOST_PARTS = 5_000


def check_archive(raw: bytes, largest: int, *, times: float = MOST_TIMES) -> None:
    """Unreadable if it unpacks to more than `largest` bytes, to so many times its own, or has too many parts."""
    with zipfile.ZipFile(io.BytesIO(raw)) as archive:
        parts = archive.infolist()
    size = sum(part.file_size for part in parts)
    if size > largest:
        raise Unreadable(f"{size / 1e6:,.0f} MB once unpacked is more than the limit of {largest / 1e6:,.0f} MB")
    if size > max(_SMALL, times * len(raw)):
        raise Unreadable(f"{size / 1e6:,.0f} MB once unpacked is more than {times:g} times its size")
    if len(parts) > _MOST_PARTS:
        raise Unreadable(f"{len(parts):,} parts in it; {_MOST_PARTS:,} is the limit")
