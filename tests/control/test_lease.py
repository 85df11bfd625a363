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
