"""ModelStreamInfer: many requests on one call, each answered by any number of responses, in Triton's form.

The responses of one request come in order, those of different requests as they are made. An error answers its request
and leaves the call open, unless the metadata ``triton_grpc_error`` wishes that it ends the call, with its status. A
request is read when there is room for it, and a response is asked for when the one before is on its way, so that a
client that does not read is waited for all the way back to the model.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from time import perf_counter

import msgspec

from tidegate.gateway.addressee import Asked
from tidegate.gateway.dataplane import DataPlane, translated, wished_timeout
from tidegate.gateway.grpc.calls import Call
from tidegate.gateway.routes import Route
from tidegate.identity.quota import Bucket
from tidegate.protocol import grpc
from tidegate.protocol.content import content_bytes
from tidegate.protocol.errors import TidegateError
from tidegate.protocol.messages import InferRequest, InferResponse
from tidegate.protocol.parameters import FINAL, WISH_FOR_FINAL, flag
from tidegate.protocol.tensors import Buffer


class Conversation:
    """One call. ``most`` requests of it are answered at a time; those that follow wait to be read."""

    def __init__(self, plane: DataPlane, call: Call, most: int) -> None:
        self._plane = plane
        self._call = call
        self._room = asyncio.Semaphore(most)
        self._ends = (b"triton_grpc_error", b"true") in call.metadata
        self._replies: asyncio.Queue[bytes | TidegateError | None] = asyncio.Queue(maxsize=1)
        self._tasks: set[asyncio.Task[None]] = set()

    async def replies(self, messages: AsyncIterator[Buffer]) -> AsyncGenerator[bytes, None]:
        """The encoded responses to all messages. Closing it withdraws the requests.

        Raises:
            TidegateError: the messages broke off; what came before is answered. Or a request has failed, where that is
                to end the call.
        """
        reader = asyncio.create_task(self._read(messages))
        try:
            while (reply := await self._replies.get()) is not None:
                if isinstance(reply, TidegateError):
                    raise reply
                yield reply
            await reader
        finally:
            tasks = {reader, *self._tasks}
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _read(self, messages: AsyncIterator[Buffer]) -> None:
        """Begin to answer each message, in order; after the last response say that it was the last."""
        try:
            async for message in messages:
                give = self._call.keep()
                await self._room.acquire()
                task = asyncio.create_task(self._answer(message))
                self._tasks.add(task)
                task.add_done_callback(self._done(give))
        except Exception:
            await self._finish()
            raise
        await self._finish()

    async def _finish(self) -> None:
        if self._tasks:
            await asyncio.wait(self._tasks)
        await self._replies.put(None)

    def _done(self, give: Callable[[], None]) -> Callable[[asyncio.Task[None]], None]:
        def done(task: asyncio.Task[None]) -> None:
            self._tasks.discard(task)
            self._room.release()
            give()

        return done

    async def _answer(self, message: Buffer) -> None:
        """Give one request its responses, and count its one outcome."""
        begun = perf_counter()
        route: Route | None = None
        error: TidegateError | None = None
        head = InferResponse("", ())
        bucket: Bucket | None = None
        try:
            parsed = grpc.parse_infer_request(message, self._plane.settings.limits)
            head = InferResponse(parsed.model_name, (), parsed.model_version, parsed.message.id)
            asked = self._plane.asked(self._call.metadata, request_id=parsed.message.id, identity=self._call.identity)
            route = self._plane.resolve(parsed.model_name, parsed.model_version, asked)
            bucket = self._plane.begin(asked)
            head = msgspec.structs.replace(head, model_version=route.model_version)
            request, raw = grpc.decode_parsed_request(parsed, self._plane.settings.limits)
            del parsed, message
            await self._respond(route, request, raw, head, asked)
        except asyncio.CancelledError as cancelled:
            error = self._call.refusal or translated(cancelled)
            raise
        except Exception as caught:  # whatever it is becomes the answer
            error = translated(caught)
        finally:
            self._plane.end(bucket)
            self._plane.answered(route, "grpc", error, perf_counter() - begun)
        if error is not None:
            told = error if self._ends else grpc.encode_stream_error(error.message, final(head, True))
            await self._replies.put(told)

    async def _respond(self, route: Route, request: InferRequest, raw: bool, head: InferResponse, asked: Asked) -> None:
        plane, call = self._plane, self._call
        wants_final = flag("", request.parameters, WISH_FOR_FINAL)
        # The call's own deadline is that of the conversation as a whole, and kept there.
        deadline = plane.deadline(asyncio.get_running_loop().time(), wished_timeout(request))
        caller = plane.caller(request, plane.tenants.among(call.metadata), asked)
        decoupled = (await plane.signature(route, deadline, content_bytes(request))).decoupled
        async with aclosing(plane.stream(route, request, deadline, caller)) as answers:
            async for answer in answers:
                try:
                    reply = grpc.encode_stream_response(final(answer.response, not decoupled), raw=raw)
                finally:
                    answer.release()
                await self._replies.put(reply)
        if decoupled and wants_final:
            await self._replies.put(grpc.encode_stream_response(final(head, True), raw=raw))


def final(response: InferResponse, is_final: bool) -> InferResponse:
    """A response that tells whether it is known to be its request's last."""
    return msgspec.structs.replace(response, parameters={**response.parameters, FINAL: is_final})
