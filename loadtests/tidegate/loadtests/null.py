"""``python -m tidegate.loadtests.null``: a server that does nothing, to learn what a load client can do at most.

It answers every inference with the same bytes, over HTTP/1.1 and gRPC, and tells the signature of one model, of
whatever name. One process with one event loop, so it is a floor for the client's limit: what a client reaches here,
it can do.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import Sequence
from typing import cast

import httptools
import numpy as np
import uvloop

from tidegate.loadtests.null_grpc import NullGrpc
from tidegate.protocol import grpc
from tidegate.protocol.datatypes import Datatype
from tidegate.protocol.messages import InferResponse, ModelMetadata, TensorSpec
from tidegate.protocol.tensors import Tensor

INPUT = TensorSpec("x", Datatype.FP32, (-1, 4))
OUTPUT = TensorSpec("y", Datatype.INT64, (-1,))
METADATA = ModelMetadata("null", "none_null", (INPUT,), (OUTPUT,), ("1",))
ANSWER = {"model_name": "null", "outputs": [{"name": "y", "datatype": "INT64", "shape": [1], "data": [0]}]}
SIGNATURE = {
    "name": METADATA.name,
    "versions": list(METADATA.versions),
    "platform": METADATA.platform,
    "inputs": [{"name": INPUT.name, "datatype": INPUT.datatype.value, "shape": list(INPUT.shape)}],
    "outputs": [{"name": OUTPUT.name, "datatype": OUTPUT.datatype.value, "shape": list(OUTPUT.shape)}],
}


def _http_answer(document: object) -> bytes:
    body = json.dumps(document, separators=(",", ":")).encode()
    return b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body)


class NullHttp(asyncio.Protocol):
    """One HTTP/1.1 connection: GET is told the signature, everything else the answer."""

    GET, OTHER = _http_answer(SIGNATURE), _http_answer(ANSWER)

    def __init__(self) -> None:
        self._parser = httptools.HttpRequestParser(self)
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            assert self._transport is not None
            self._transport.close()

    def on_message_complete(self) -> None:
        assert self._transport is not None
        self._transport.write(self.GET if self._parser.get_method() == b"GET" else self.OTHER)


def grpc_answers() -> tuple[bytes, bytes]:
    """The messages that answer ModelMetadata and ModelInfer."""
    answer = InferResponse("null", (Tensor.from_numpy("y", np.zeros(1, np.int64)),))
    return grpc.encode_model_metadata(METADATA), grpc.encode_infer_response(answer, raw=True)


async def serve(http_port: int, grpc_port: int) -> None:
    """Listen on the loopback, print the addresses as one JSON line, and answer until cancelled. Port 0 is a free one.

    Raises:
        OSError: a port is taken.
    """
    loop = asyncio.get_running_loop()
    metadata, answer = grpc_answers()
    http = await loop.create_server(NullHttp, "127.0.0.1", http_port)
    rpc = await loop.create_server(lambda: NullGrpc(metadata, answer), "127.0.0.1", grpc_port)
    async with http, rpc:
        ports = {kind: server.sockets[0].getsockname()[1] for kind, server in (("http", http), ("grpc", rpc))}
        print(json.dumps({kind: f"127.0.0.1:{port}" for kind, port in ports.items()}), flush=True)
        await asyncio.gather(http.serve_forever(), rpc.serve_forever())


def main(arguments: Sequence[str] | None = None) -> int:
    made = argparse.ArgumentParser("python -m tidegate.loadtests.null", description=__doc__)
    made.add_argument("--http-port", type=int, default=0, help="0 takes a free one (default: %(default)s)")
    made.add_argument("--grpc-port", type=int, default=0, help="0 takes a free one (default: %(default)s)")
    options = made.parse_args(arguments)
    try:
        uvloop.run(serve(options.http_port, options.grpc_port))
    except OSError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
