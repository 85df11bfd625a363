"""A model with the number of its requests."""

from __future__ import annotations

import asyncio

from tidegate.control.lease import Lease
from tidegate.protocol.messages import InferRequest, ModelMetadata
from tidegate.testing.backends import IdentityBackend, identity_metadata
from tidegate.testing.clock import run_virtual
from tidegate.testing.models import FakeDisk, FakeModel


class Waking(IdentityBackend):
    """Tells its signature when it is awake."""

    def __init__(self) -> None:
        super().__init__(identity_metadata("m"))
        self.awake = asyncio.Event()

    async def signature(self, deadline: float, nbytes: int = 0) -> ModelMetadata:
        await self.awake.wait()
        return await super().signature(deadline, nbytes)


def test_who_goes_on_from_the_signature_to_the_request_is_waited_for() -> None:
    """Both happen in one turn of the loop, in which the lease has no request for a moment."""

    async def main() -> None:
        disk = FakeDisk()
        disk.write("m")
        model = FakeModel(disk.offered("m")["1"])
        executor = model.executor = Waking()
        executor.gate = asyncio.Event()
        lease = Lease(model.offer, model)

        async def ask() -> None:
            await lease.signature(1e9)
            await lease.infer(InferRequest("m", ()), 1e9)

        asking = asyncio.create_task(ask())
        ending = asyncio.create_task(lease.end(None))
        await asyncio.sleep(1)
        executor.awake.set()
        await asyncio.sleep(1)
        assert (model.stops, ending.done()) == (0, False)
        executor.gate.set()
        await asyncio.gather(asking, ending)
        assert model.stops == 1

    run_virtual(main())


def test_who_waits_for_the_next_request_is_told_of_it_once() -> None:
    """Before it is answered, whichever it is, and never of the ones after it."""

    async def main() -> None:
        disk = FakeDisk()
        disk.write("m")
        model = FakeModel(disk.offered("m")["1"])
        model.executor = IdentityBackend(identity_metadata("m"))
        lease, told = Lease(model.offer, model), list[int]()
        lease.at_next(lambda: told.append(-1))
        lease.at_next(lambda: told.append(lease.requests))
        for _ in range(3):
            await lease.infer(InferRequest("m", ()), 1e9)
        assert told == [1]
        lease.at_next(lambda: told.append(2))
        lease.at_next(None)
        await lease.signature(1e9)
        assert told == [1]

    run_virtual(main())
