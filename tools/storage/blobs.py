"""Blobs: files kept by the digest of their content, so that a step, an approval and an effect mean the same bytes."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from signoff.tools.errors import BlobMissing
from signoff.tools.storage.atomic import write_whole

_DIGEST = re.compile(r"[0-9a-f]{64}")


class Blobs:
    """Files in `<home>/blobs`, named by SHA-256; what is kept never changes. Threads and processes may share it."""

    def __init__(self, home: Path | str = ".signoff") -> None:
        self.folder = Path(home).expanduser().absolute() / "blobs"

    def keep(self, raw: bytes) -> str:
        """Keep the bytes; returns their SHA-256 in hexadecimal. Kept twice is kept once."""
        sha256 = hashlib.sha256(raw).hexdigest()
        try:
            self.read(sha256)
        except BlobMissing:
            write_whole(self.path(sha256), raw)
        return sha256

    def read(self, sha256: str) -> bytes:
        """The bytes that were kept; BlobMissing if they are gone, or are others now."""
        try:
            raw = self.path(sha256).read_bytes()
        except FileNotFoundError:
            raise BlobMissing(sha256, f"is not in {str(self.folder)!r}") from None
        except OSError as error:
            raise BlobMissing(sha256, f"cannot be read ({error.strerror})") from error
        if hashlib.sha256(raw).hexdigest() != sha256:
            raise BlobMissing(sha256, "was changed since it was kept")
        return raw

    def path(self, sha256: str) -> Path:
        """Where the bytes are, if they are kept; BlobMissing for what is no digest."""
        if not _DIGEST.fullmatch(sha256):
            raise BlobMissing(sha256, "has no name that a digest has")
        return self.folder / sha256[:2] / sha256
