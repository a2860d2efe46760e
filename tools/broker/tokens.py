"""Tokens: by what a tool is known to the broker."""

from __future__ import annotations

import hashlib
import hmac


def token_of(key: bytes, tool: str) -> str:
    """What a tool shows to be taken for itself, made of the key that one broker and its run share."""
    return hmac.new(key, tool.encode(), hashlib.sha256).hexdigest()
