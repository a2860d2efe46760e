"""What a file's rows hold: bytes with a checksum, or encrypted with the key that the file was made with."""

from __future__ import annotations

import base64
import binascii
import os
import re
import sqlite3
from typing import Final
from zlib import crc32

from xxhash import xxh3_64_digest

from signoff.checkpoints.errors import KeyMissing, NotEncrypted, WrongKey
from signoff.error_base import MissingExtra, SettingsError

_PROOF: Final = b"signoff"
_CONTEXT: Final = "proof"
_CHECKSUM_BYTES: Final = 8


class RowCodec:
    """Encodes and decodes the bytes of rows. Each is bound to its place, so that rows cannot be exchanged.

    A place is a text, or the number of a piece.
    """

    def __init__(self, key: str | bytes | None) -> None:
        self._cipher = None if key is None else Cipher(key)

    @property
    def is_encrypted(self) -> bool:
        return self._cipher is not None

    def encode(self, body: bytes, place: str | int) -> bytes:
        """The bytes to store."""
        if self._cipher is not None:
            return self._cipher.seal(body, _context(place))
        return body + xxh3_64_digest(body, place if isinstance(place, int) else crc32(place.encode()))

    def decode(self, body: bytes, place: str | int) -> memoryview:
        """The bytes that were stored; WrongKey or sqlite3.DatabaseError if they are not what was stored there."""
        if self._cipher is not None:
            return memoryview(self._cipher.open(body, _context(place)))
        plain = memoryview(body)[:-_CHECKSUM_BYTES]  # SQLite would hand out a page whose bits have changed
        seed = place if isinstance(place, int) else crc32(place.encode())
        if body[-_CHECKSUM_BYTES:] != xxh3_64_digest(plain, seed):
            raise sqlite3.DatabaseError(f"{_context(place).decode()} is damaged; restore a backup")
        return plain

    def check(self, connection: sqlite3.Connection, database: str) -> None:
        """Raise if the file is encrypted and there is no key or another one, or if it is not and there is one."""
        found = connection.execute("SELECT value FROM saver_meta WHERE key = 'proof'").fetchone()
        if found is None:
            if self._cipher is None:
                return
            if connection.execute("SELECT 1 FROM saver_threads LIMIT 1").fetchone():
                raise NotEncrypted(database)
            proof = self.encode(_PROOF, _CONTEXT)
            connection.execute("INSERT OR IGNORE INTO saver_meta VALUES ('proof', ?)", (proof,))
            self.check(connection, database)  # another process may have been first
        elif self._cipher is None:
            raise KeyMissing(database)
        elif bytes(self.decode(found[0], _CONTEXT)) != _PROOF:
            raise WrongKey


def _context(place: str | int) -> bytes:
    return b"piece:%d" % place if isinstance(place, int) else place.encode()


def place_of(ns: str, checkpoint_id: str, parent_id: str | None, run: bytes | None) -> str:
    """Where a checkpoint's head and metadata stand: all that its row says of it beside them."""
    return repr((ns, checkpoint_id, parent_id, run))


def place_of_writes(number: int, ns: str, checkpoint_id: str, task_id: str) -> str:
    """Where a task's writes stand: numbers count within the thread, so that a copy of it reads the same."""
    return repr(("writes", number, ns, checkpoint_id, task_id))


_KEY_BYTES: Final = 32
_NONCE_BYTES: Final = 12
_TAG_BYTES: Final = 16
_HEX: Final = re.compile(rf"[0-9a-fA-F]{{{2 * _KEY_BYTES}}}")


class Cipher:
    """Seals bytes with one key, and opens them; any thread may use it.

    Nonces are random, which is safe for about four billion values under one key.
    """

    __slots__ = ("_aead", "_refusal")

    def __init__(self, key: str | bytes) -> None:
        try:
            from cryptography.exceptions import InvalidTag
            from cryptography.hazmat.primitives.ciphers.aead import AESGCM
        except ImportError as error:
            raise MissingExtra("SIGNOFF_ENCRYPTION_KEY", "encryption") from error
        self._aead = AESGCM(_read_key(key))
        self._refusal = InvalidTag

    def seal(self, plain: bytes, context: bytes) -> bytes:
        """Nonce, encrypted bytes and tag; only the same context opens them again."""
        nonce = os.urandom(_NONCE_BYTES)
        return nonce + self._aead.encrypt(nonce, plain, context)

    def open(self, sealed: bytes, context: bytes) -> bytes:
        """What was sealed; WrongKey if key or context are others, or a single bit was changed."""
        if len(sealed) < _NONCE_BYTES + _TAG_BYTES:
            raise WrongKey
        try:
            return self._aead.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], context)
        except self._refusal:
            raise WrongKey from None


def new_key() -> str:
    """A fresh random key, as text for `SIGNOFF_ENCRYPTION_KEY`."""
    return base64.urlsafe_b64encode(os.urandom(_KEY_BYTES)).decode()


def _read_key(key: str | bytes) -> bytes:
    found = key if isinstance(key, bytes) else _decode(key.strip())
    if len(found) != _KEY_BYTES:
        # The key is not quoted: a mistyped one is still a secret.
        raise SettingsError(
            "SIGNOFF_ENCRYPTION_KEY",
            f"not a key of {_KEY_BYTES} bytes, as base64 or hexadecimal digits",
            "Make one with: signoff db key",
        )
    return found


def _decode(text: str) -> bytes:
    """The bytes of a key given as text; none if it is no key."""
    if _HEX.fullmatch(text):
        return bytes.fromhex(text)
    standard = text.rstrip("=").replace("-", "+").replace("_", "/")
    try:
        return base64.b64decode(standard + "=" * (-len(standard) % 4), validate=True)
    except (binascii.Error, ValueError):
        return b""
