"""Encryption of what is stored: AES-256-GCM, each value under its own nonce and bound to where it stands."""

from __future__ import annotations

import base64
import binascii
import os
import re
from typing import Final

from signoff.errors import MissingExtra, SettingsError, WrongKey

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
