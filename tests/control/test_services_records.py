"""Records of rollouts, which others may write and delete at any time."""

from __future__ import annotations

from tidegate.control.services.records import Records
from tidegate.resources.document import Document, GroupKind, Key
from tidegate.resources.store import MergePatch
from tidegate.testing.api import in_virtual_time
from tidegate.testing.services import now
from tidegate.testing.store import MemoryStore

KEY = Key(GroupKind("tidegate.dev", "ServingRollout"), "default", "iris-rollout-1")


def record(phase: str) -> Document:
    spec = {"service": {"kind": "ModelService", "name": "iris"}, "number": 1, "revision": 2, "stable": 1}
    return {
        "apiVersion": "tidegate.dev/v1",
        "kind": "ServingRollout",
        "metadata": {"name": KEY.name, "namespace": "default", "labels": {"tidegate.dev/service": "iris"}},
        "spec": spec | {"strategy": "canary"},
        "status": {"phase": phase},
    }


class Busy(MemoryStore):
    """Somebody labels the record between its being read and written, so often."""

    def __init__(self, often: int) -> None:
        super().__init__(clock=now)
        self.often = often

    async def get(self, key: Key) -> Document:
        found = await super().get(key)
        if self.often:
            self.often -= 1
            await self.patch(key, MergePatch({"metadata": {"labels": {"seen": str(self.often)}}}))
        return found


@in_virtual_time
async def test_a_record_that_somebody_else_writes_is_written_all_the_same() -> None:
    """Once it is read and written without anybody in between."""
    store = Busy(0)
    records = Records(store, 10)
    await records.write(record("Warming"))
    store.often = 2
    await records.write(record("Step"))
    found = await store.get(KEY)
    assert (found["status"], found["metadata"]["labels"]["seen"]) == ({"phase": "Step"}, "0")
    await store.close()


@in_virtual_time
async def test_a_record_that_cannot_be_written_stops_nobody() -> None:
    """Whoever has it written goes on, and it is written with the next look."""
    store = Busy(0)
    records = Records(store, 10)
    await records.write(record("Warming"))
    store.often = 100
    await records.write(record("Step"))
    store.often = 0
    assert (await store.get(KEY))["status"] == {"phase": "Warming"}
    await records.write(record("Step"))
    assert (await store.get(KEY))["status"] == {"phase": "Step"}
    await store.close()
