"""``tidegate infer``: ask a model that is being served, with values from the command line or from a file."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Group, Parameter

from tidegate.cli.failure import Exit, Failure
from tidegate.cli.values import check_patience

if TYPE_CHECKING:
    from tidegate.client import GrpcClient, HttpClient
    from tidegate.protocol.messages import InferRequest, ModelMetadata, RequestedOutput
    from tidegate.protocol.tensors import Tensor

    Client = HttpClient | GrpcClient

TYPED = Parameter(allow_leading_hyphen=True, negative=(), show_env_var=False, show_default=False)
"""Belongs to one call: it may begin with "-" (stdin, a negative number), and nobody keeps it in the environment."""

NOT_THERE = "start one with `tidegate serve FILE`, or name another with --url or --grpc"


@Parameter(name="*", group=Group("Server", sort_key=1))
@dataclass(frozen=True)
class Server:
    url: str = "http://127.0.0.1:8080"
    """Where the server's HTTP port is."""
    grpc: str = ""
    """Use gRPC, at this HOST:PORT, instead of HTTP."""
    binary: Annotated[bool, Parameter(negative="--json")] = False
    """Over HTTP, send and receive tensors as bytes instead of JSON."""
    version: str = ""
    """The model's version; without it the server's default answers."""
    timeout: Annotated[float, Parameter(validator=check_patience)] = 60.0
    """Seconds until the call is given up. The server is told, and has a second more to say so itself."""


@Parameter(name="*", group=Group("Values (one of them)", sort_key=0))
@dataclass(frozen=True)
class Values:
    input: Annotated[tuple[str, ...], TYPED, Parameter(alias="-i")] = ()
    """NAME=1,2,3 or NAME=[[1,2],[3,4]] or NAME=@FILE (.npy, .json; any file for a BYTES input). Once per input."""
    data: Annotated[str, TYPED, Parameter(alias="-d")] = ""
    """A whole v2 request: JSON, @FILE, or - for stdin."""
    rows: Annotated[str, TYPED] = ""
    """A CSV file, one row of the batch per line; - for stdin."""


def infer(
    model: Annotated[str, Parameter(show_env_var=False)],
    /,
    *,
    values: Values = Values(),
    server: Server = Server(),
    output_names: Annotated[tuple[str, ...], TYPED, Parameter(consume_multiple=True, allow_leading_hyphen=False)] = (),
    param: Annotated[tuple[str, ...], TYPED] = (),
    output: Annotated[Literal["table", "json"] | None, Parameter(alias="-o")] = None,
) -> None:
    """Ask a model that is being served.

    Parameters
    ----------
    model
        The model's name.
    output_names
        The outputs to ask for; without it all of them.
    param
        KEY=VALUE, a parameter of the request. Once per parameter.
    output
        table or json; without it a table on a terminal and JSON elsewhere.
    """
    from rich.console import Console

    from tidegate.cli.show import show

    if sum(map(bool, (values.input, values.data, values.rows))) != 1:
        raise Failure("exactly one of --input, --data and --rows is needed", "see `tidegate infer --help`", Exit.USAGE)
    from tidegate.client.answers import ServerUnreachable
    from tidegate.protocol.errors import NotFound

    with _connect(server) as client:
        try:
            metadata = client.model_metadata(model, server.version, server.timeout)
            request = _request(model, server.version, values, metadata)
            request = _with_wishes(request, output_names, param)
            response = client.infer(request, server.timeout)
        except ServerUnreachable as error:
            raise Failure(error.message, NOT_THERE) from error
        except NotFound as error:
            raise Failure(error.message, _others(client)) from error
    console = Console()
    show(response, output or ("table" if console.is_terminal else "json"), console)


def _connect(server: Server) -> Client:
    if server.grpc:
        from tidegate.client.grpc import GrpcClient

        return GrpcClient(server.grpc)
    from tidegate.client.http import HttpClient

    return HttpClient(server.url, server.binary)


def _request(model: str, version: str, values: Values, metadata: ModelMetadata) -> InferRequest:
    from tidegate.cli.inputs import typed_inputs
    from tidegate.cli.rows import read_rows
    from tidegate.protocol import rest
    from tidegate.protocol.limits import DEFAULT_LIMITS
    from tidegate.protocol.messages import InferRequest

    if values.data:
        body = _body(values.data)
        return rest.decode_request(body, None, model=model, version=version, limits=DEFAULT_LIMITS, metadata=metadata)
    inputs: tuple[Tensor, ...]
    inputs = typed_inputs(values.input, metadata) if values.input else read_rows(values.rows, metadata)
    return InferRequest(model_name=model, model_version=version, inputs=inputs)


def _body(data: str) -> bytes:
    if data == "-":
        return sys.stdin.buffer.read()
    if not data.startswith("@"):
        return data.encode()
    try:
        return Path(data[1:]).read_bytes()
    except OSError as error:
        raise Failure(f"{data[1:]} cannot be read: {error.strerror or error}") from error


def _with_wishes(request: InferRequest, outputs: tuple[str, ...], parameters: tuple[str, ...]) -> InferRequest:
    import msgspec

    from tidegate.cli.inputs import typed_parameters
    from tidegate.protocol.messages import RequestedOutput

    wanted: tuple[RequestedOutput, ...] = tuple(RequestedOutput(name) for name in outputs) or request.outputs
    return msgspec.structs.replace(
        request, outputs=wanted, parameters={**request.parameters, **typed_parameters(parameters)}
    )


def _others(client: Client) -> str:
    """What the server has instead, as a hint; "" where it does not say."""
    from tidegate.client.http import HttpClient
    from tidegate.protocol.errors import TidegateError

    if not isinstance(client, HttpClient):
        return ""
    try:
        names = client.models()
    except TidegateError:  # the list is not part of the protocol's core: without it there is no hint
        return ""
    return f"the server has {', '.join(sorted(names)) or 'no models'}"
