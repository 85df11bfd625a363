"""``tidegate models``: look at models, on disk or being served."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from tidegate.cli.failure import Exit, Failure
from tidegate.cli.infer import NOT_THERE, Server, connect, others
from tidegate.cli.values import check_patience

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tidegate.app.inspection import InspectionSettings
    from tidegate.cli.inspected import Document

DEFAULT_SERVER = Server()


def inspect(
    model: Annotated[str, Parameter(show_env_var=False)],
    /,
    *,
    served: Annotated[bool, Parameter(negative=())] = False,
    version: str = "",
    trusted: Annotated[bool, Parameter(negative=())] = False,
    option: Annotated[tuple[str, ...], Parameter(negative=(), show_default=False)] = (),
    load_timeout: Annotated[float, Parameter(validator=check_patience)] = 600.0,
    output: Annotated[Literal["table", "json", "yaml"], Parameter(alias="-o")] = "table",
    server: Server = DEFAULT_SERVER,
) -> int:
    """Show what a model is: its runtime and format, whether it can run code, and its signature.

    Parameters
    ----------
    model
        A model file or a directory of models; else the name of a model that is being served.
    served
        Ask the server, even if there is a file of that name.
    version
        Of a served model; without it the server's default.
    trusted
        Load formats that can run code while they are read (pickle, joblib): you trust who made the file.
    option
        NAME=VALUE, an option of the runtime that reads the model. Once per option.
    load_timeout
        Seconds until loading a model is given up.
    output
        How to write it; json and yaml are a list of models.
    """
    from tidegate.app.inspection import InspectionSettings
    from tidegate.cli.inspected import show
    from tidegate.cli.serve import named_values

    if not served and Path(model).exists():
        settings = InspectionSettings(trusted=trusted, options=named_values(option), load_timeout=load_timeout)
        documents = _on_disk(Path(model), settings)
    else:
        documents = [_at_server(model, version, server)]
    show(documents, output)
    failed = any("problem" in document and not document["refused"] for document in documents)
    return Exit.FAILED if failed else Exit.GOOD


def _on_disk(path: Path, settings: InspectionSettings) -> Sequence[Document]:
    import asyncio

    from tidegate.app.inspection import inspect_all
    from tidegate.app.logs import LogSettings, configure
    from tidegate.app.models import find_models
    from tidegate.cli.inspected import of_file

    configure(LogSettings("error", "plain", False), sys.stderr)  # what goes wrong stands in the document
    return [of_file(found) for found in asyncio.run(inspect_all(find_models([path]), settings))]


def _at_server(model: str, version: str, server: Server) -> Document:
    from tidegate.cli.inspected import of_served
    from tidegate.client import ServerUnreachable
    from tidegate.protocol.errors import NotFound

    with connect(server) as client:
        try:
            metadata = client.model_metadata(model, version)
            return of_served(metadata, server.grpc or server.url, client.model_ready(model, version))
        except ServerUnreachable as error:
            raise Failure(f"there is no file '{model}', and {error.message}", NOT_THERE) from error
        except NotFound as error:
            raise Failure(error.message, others(client)) from error
