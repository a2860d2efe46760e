"""LangGraph's own conformance suite: every test, through the async and the sync methods, encrypted and leased."""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any, Literal, get_args

import pytest
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import (
    BaseCheckpointSaver,
    ChannelVersions,
    Checkpoint,
    CheckpointMetadata,
    CheckpointTuple,
)
from langgraph.checkpoint.conformance import checkpointer_test, validate
from langgraph.checkpoint.conformance.spec import (
    test_copy_thread,
    test_delete_for_runs,
    test_delete_thread,
    test_get_tuple,
    test_list,
    test_prune,
    test_put,
    test_put_writes,
)

from signoff.checkpoints.saver.saver import SqliteCheckpointer

pytestmark = pytest.mark.smoke

Saver = BaseCheckpointSaver[Any]
Spec = Callable[[Saver], Coroutine[Any, Any, None]]

EXPECTED = {
    "put": 17,
    "put_writes": 10,
    "get_tuple": 10,
    "list": 16,
    "delete_thread": 5,
    "delete_for_runs": 7,
    "copy_thread": 8,
    "prune": 8,
}
"""How many tests the suite has for each capability: 81."""

MODULES: dict[str, ModuleType] = {
    "put": test_put,
    "put_writes": test_put_writes,
    "get_tuple": test_get_tuple,
    "list": test_list,
    "delete_thread": test_delete_thread,
    "delete_for_runs": test_delete_for_runs,
    "copy_thread": test_copy_thread,
    "prune": test_prune,
}
# Bound in this module under names that pytest would collect as tests of its own.
del test_copy_thread, test_delete_for_runs, test_delete_thread, test_get_tuple
del test_list, test_prune, test_put, test_put_writes

SPECS: list[tuple[str, Spec]] = [
    (capability, spec)
    for capability, module in MODULES.items()
    for spec in getattr(module, f"ALL_{capability.upper()}_TESTS")
]


class ThroughSync(BaseCheckpointSaver[Any]):
    """The same saver for a caller who has only its sync methods."""

    def __init__(self, saver: Saver) -> None:
        super().__init__(serde=saver.serde)
        self.saver = saver

    async def aget_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        return await asyncio.to_thread(self.saver.get_tuple, config)

    async def alist(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> AsyncIterator[CheckpointTuple]:
        for found in self.saver.list(config, filter=filter, before=before, limit=limit):
            yield found

    async def aput(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        # In the loop's own thread: the sync methods must work there too.
        return self.saver.put(config, checkpoint, metadata, new_versions)

    async def aput_writes(
        self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str = ""
    ) -> None:
        await asyncio.to_thread(self.saver.put_writes, config, writes, task_id, task_path)

    async def adelete_thread(self, thread_id: str) -> None:
        await asyncio.to_thread(self.saver.delete_thread, thread_id)

    async def adelete_for_runs(self, run_ids: Sequence[str]) -> None:
        await asyncio.to_thread(self.saver.delete_for_runs, run_ids)

    async def acopy_thread(self, source_thread_id: str, target_thread_id: str) -> None:
        await asyncio.to_thread(self.saver.copy_thread, source_thread_id, target_thread_id)

    async def aprune(self, thread_ids: Sequence[str], *, strategy: str = "keep_latest") -> None:
        await asyncio.to_thread(self.saver.prune, thread_ids, strategy=strategy)


Variant = Literal["async", "sync", "encrypted", "leased", "memory"]


@contextmanager
def opened(variant: Variant, database: Path) -> Iterator[Saver]:
    """A new saver in this file, or in memory, in one of the ways to have one."""
    place = ":memory:" if variant == "memory" else database
    with SqliteCheckpointer(place, key=b"k" * 32 if variant == "encrypted" else None) as saver:
        if variant == "leased":
            with saver.leased("conformance", seconds=600) as view:
                yield view
        else:
            yield ThroughSync(saver) if variant == "sync" else saver


@pytest.fixture(scope="module", params=get_args(Variant))
def saver(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Saver]:
    """One saver for all specs, as the suite's own runner has one per capability; each spec makes its own threads."""
    with opened(request.param, tmp_path_factory.mktemp(request.param) / "checkpoints.db") as made:
        yield made


@pytest.mark.parametrize(("capability", "spec"), SPECS, ids=[f"{c}-{s.__name__}" for c, s in SPECS])
def test_the_specification_holds(saver: Saver, capability: str, spec: Spec) -> None:
    asyncio.run(spec(saver))


def test_the_suite_has_not_changed_its_size() -> None:
    assert Counter(capability for capability, _ in SPECS) == EXPECTED
    assert len(SPECS) == 81


@pytest.mark.parametrize("variant", ["async", "sync"])
def test_the_suite_reports_full_conformance(tmp_path: Path, variant: Variant) -> None:
    files = iter(range(len(EXPECTED)))

    async def savers() -> AsyncGenerator[Saver, None]:
        with opened(variant, tmp_path / f"{next(files)}.db") as made:
            yield made

    report = asyncio.run(validate(checkpointer_test(variant)(savers)))
    assert {name: result.failures for name, result in report.results.items() if result.failures} == {}
    assert {name: result.tests_passed for name, result in report.results.items()} == EXPECTED
    assert all(result.detected and result.tests_skipped == 0 for result in report.results.values())
    assert report.conformance_level() == "FULL"
