"""The official PostgreSQL savers with our serializer, and with a key nothing of a value readable.

By themselves the official savers write plain texts and numbers readably into the checkpoint's row, whatever the
serializer does; here these are sealed, so that they are serialised and encrypted like all other values.
"""

from __future__ import annotations

from collections.abc import Collection
from copy import copy
from dataclasses import dataclass
from typing import Any, Final, TypeVar, cast

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import BaseCheckpointSaver, ChannelVersions, Checkpoint, CheckpointMetadata
from langgraph.checkpoint.postgres import PostgresSaver
from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver
from langgraph.checkpoint.serde.base import CipherProtocol
from langgraph.checkpoint.serde.encrypted import EncryptedSerializer

from signoff.checkpoints.saver.encoding.cipher import Cipher
from signoff.checkpoints.saver.encoding.serializer import StrictSerializer
from signoff.errors import KeyMissing, Unstorable

_NAME: Final = "signoff"
"""Name of the cipher in the kind of an encrypted value, such as `msgpack+signoff`."""
_CONTEXT: Final = b"postgresql"  # a serializer is not told where its bytes will stand

SaverT = TypeVar("SaverT", bound=BaseCheckpointSaver[Any])


@dataclass(frozen=True, slots=True)
class Sealed:
    """A text, number, truth or None of a channel."""

    value: str | int | float | bool | None


class SealingSerializer(EncryptedSerializer):
    """The strict serializer, and encryption if there is a key."""

    def __init__(self, cipher: PostgresCipher, serde: StrictSerializer) -> None:
        super().__init__(cipher, serde)
        self._sealer, self._strict = cipher, serde

    @property
    def encrypts(self) -> bool:
        """Whether there is a key."""
        return self._sealer.has_key

    def dumps_typed(self, obj: Any) -> tuple[str, bytes]:
        """Kind and bytes of a value; a sealed one is read back as what is in it."""
        value = obj.value if isinstance(obj, Sealed) else obj
        return super().dumps_typed(value) if self.encrypts else self._strict.dumps_typed(value)

    def with_msgpack_allowlist(self, extra: Collection[tuple[str, ...]]) -> SealingSerializer:
        """This serializer with more types listed."""
        pairs = [(".".join(names[:-1]), names[-1]) for names in extra]
        return SealingSerializer(self._sealer, self._strict.with_msgpack_allowlist(pairs))


class PostgresCipher(CipherProtocol):
    """Our cipher as LangGraph calls one; without a key it can only tell that there is none."""

    def __init__(self, database: str, key: str | bytes | None) -> None:
        self._database = database
        self._cipher = Cipher(key) if key is not None else None

    @property
    def has_key(self) -> bool:
        """Whether there is a key."""
        return self._cipher is not None

    def encrypt(self, plaintext: bytes) -> tuple[str, bytes]:
        """The cipher's name and the encrypted bytes."""
        return _NAME, self._opened().seal(plaintext, _CONTEXT)

    def decrypt(self, ciphername: str, ciphertext: bytes) -> bytes:
        """What was encrypted; KeyMissing without a key, WrongKey if it was with another."""
        if ciphername != _NAME:
            raise Unstorable(f"data encrypted by {ciphername!r}", "not our cipher", "Read it with what wrote it.")
        return self._opened().open(ciphertext, _CONTEXT)

    def _opened(self) -> Cipher:
        if self._cipher is None:
            raise KeyMissing(self._database)
        return self._cipher


class SealedSaver(PostgresSaver):
    """The official sync saver."""

    def put(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        """Save a checkpoint."""
        return super().put(config, _seal(self, checkpoint), metadata, new_versions)

    def with_allowlist(self, extra_allowlist: Collection[tuple[str, ...]]) -> SealedSaver:
        """This saver with more types listed."""
        return _list_more(self, extra_allowlist)


class AsyncSealedSaver(AsyncPostgresSaver):
    """The official async saver."""

    async def aput(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        """Save a checkpoint."""
        return await super().aput(config, _seal(self, checkpoint), metadata, new_versions)

    def with_allowlist(self, extra_allowlist: Collection[tuple[str, ...]]) -> AsyncSealedSaver:
        """This saver with more types listed."""
        return _list_more(self, extra_allowlist)


def _seal(saver: BaseCheckpointSaver[Any], checkpoint: Checkpoint) -> Checkpoint:
    """The checkpoint with every plain value sealed, if there is a key."""
    if not (isinstance(saver.serde, SealingSerializer) and saver.serde.encrypts):
        return checkpoint
    plain, values = (str, int, float, bool, type(None)), checkpoint["channel_values"]
    sealed = {name: Sealed(value) if isinstance(value, plain) else value for name, value in values.items()}
    return cast(Checkpoint, {**checkpoint, "channel_values": sealed})


def _list_more(saver: SaverT, extra: Collection[tuple[str, ...]]) -> SaverT:
    clone = copy(saver)
    assert isinstance(saver.serde, SealingSerializer)
    clone.serde = saver.serde.with_msgpack_allowlist(extra)
    return clone
