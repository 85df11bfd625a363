"""``tidegate infer``: ask a model that is being served, with values from the command line or from a file."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, ParamSpec, TypeVar

from cyclopts import Group, Parameter
from cyclopts.validators import Number

from tidegate.cli.failure import Exit, Failure
from tidegate.cli.values import check_patience

if TYPE_CHECKING:
    from tidegate.client import Client
    from tidegate.protocol.messages import InferRequest, ModelMetadata
    from tidegate.protocol.tensors import Tensor

P = ParamSpec("P")
T = TypeVar("T")

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
    token: Annotated[str, Parameter(env_var="TIDEGATE_TOKEN", show_default=False)] = ""
    """An API key or a JSON Web Token. The variable keeps it out of the list of processes."""
    ca: str = ""
    """For https and --grpc-tls: certificate authorities to trust, in PEM."""
    cert: str = ""
    """A client certificate, in PEM."""
    key: str = ""
    """Its private key, in PEM."""
    grpc_tls: Annotated[bool, Parameter(negative=())] = False
    """Use TLS with --grpc."""
    binary: Annotated[bool, Parameter(negative="--json")] = False
    """Over HTTP, send and receive tensors as bytes instead of JSON."""
    timeout: Annotated[float, Parameter(validator=check_patience)] = 60.0
    """Seconds until a call is given up, retries included. The server is told, and has a second more to say so."""
    retries: Annotated[int, Parameter(validator=Number(gte=0))] = 0
    """How often a call is sent again that a server refused for a while, or that did not reach one."""


@Parameter(name="*", group=Group("Request", sort_key=2))
@dataclass(frozen=True)
class Wishes:
    version: str = ""
    """The model's version; without it the server's default answers."""
    priority: Annotated[int | None, Parameter(validator=Number(gte=0), show_default=False)] = None
    """How urgent it is: 1 goes first; 0, or nothing, is the server's default."""
    tenant: str = ""
    """Whom the request is for, in the header x-tenant-id."""
    output_names: Annotated[tuple[str, ...], TYPED, Parameter(consume_multiple=True, allow_leading_hyphen=False)] = ()
    """The outputs to ask for; without it all of them."""
    param: Annotated[tuple[str, ...], TYPED] = ()
    """KEY=VALUE, a parameter of the request. Once per parameter."""
    stream: Annotated[bool, Parameter(negative=())] = False
    """Print answer after answer of a model that makes several, each as it comes."""


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
    wishes: Wishes = Wishes(),
    output: Annotated[Literal["table", "json"] | None, Parameter(alias="-o")] = None,
) -> None:
    """Ask a model that is being served.

    Parameters
    ----------
    model
        The model's name.
    output
        table or json; without it a table on a terminal and JSON elsewhere.
    """
    from rich.console import Console

    from tidegate.cli.inputs import typed_parameters
    from tidegate.cli.show import show

    if sum(map(bool, (values.input, values.data, values.rows))) != 1:
        raise Failure("exactly one of --input, --data and --rows is needed", "see `tidegate infer --help`", Exit.USAGE)
    from tidegate.client import ServerUnreachable
    from tidegate.protocol.errors import NotFound

    with connect(server) as client:
        try:
            metadata = client.model_metadata(model, wishes.version)
            ask = client.stream if wishes.stream else _only(client.infer)
            results = ask(
                model,
                _request(model, wishes.version, values, metadata),
                outputs=wishes.output_names,
                parameters=typed_parameters(wishes.param),
                priority=wishes.priority,
                tenant=wishes.tenant,
            )
            console = Console()
            for result in results:
                show(result.response, output or ("table" if console.is_terminal else "json"), console)
                console.file.flush()
        except ServerUnreachable as error:
            raise Failure(error.message, NOT_THERE) from error
        except NotFound as error:
            raise Failure(error.message, others(client)) from error


def _only(infer: Callable[P, T]) -> Callable[P, Iterable[T]]:
    """A call with one answer as one whose answers are gone through."""
    return lambda *args, **kwargs: (infer(*args, **kwargs),)


def connect(server: Server) -> Client:
    """A client of the server that the options name."""
    from tidegate.client import Client, ClientSettings, RetryPolicy

    # A person has no budget to keep: who asks for so many attempts gets them.
    retries = RetryPolicy(max_attempts=server.retries + 1, budget_burst=max(10.0, server.retries))
    try:
        settings = ClientSettings(
            binary=server.binary,
            timeout=server.timeout,
            retries=retries,
            token=server.token,
            ca=Path(server.ca) if server.ca else None,
            certificate=Path(server.cert) if server.cert else None,
            certificate_key=Path(server.key) if server.key else None,
        )
    except ValueError as error:
        raise Failure(str(error), "see `tidegate infer --help`", Exit.USAGE) from error
    scheme = "grpcs" if server.grpc_tls else "grpc"
    return Client(f"{scheme}://{server.grpc}" if server.grpc else server.url, settings)


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


def others(client: Client) -> str:
    """What the server has instead, as a hint; "" where it does not say."""
    from tidegate.protocol.errors import TidegateError

    try:
        names = client.models()
    except TidegateError:  # the list is not part of the protocol's core: without it there is no hint
        return ""
    return f"the server has {', '.join(sorted(names)) or 'no models'}"
