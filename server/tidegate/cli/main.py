"""The entry point: which commands there are, and what becomes of their errors."""

from __future__ import annotations

import os
import signal
import sys
import traceback
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, CycloptsError, Parameter
from cyclopts.config import Env

from tidegate.cli.environment import PREFIX, unknown_variables
from tidegate.cli.failure import Exit, Failure

if TYPE_CHECKING:
    from rich.console import Console

COMMANDS = {
    "serve": """Serve models on this machine: files, directories of them, and services that manifests describe.

Which runtime reads a file is found out from its name. HTTP is on port 8080, gRPC on 8081, the resource API on
8082, metrics and health on 8083,
all of them on 127.0.0.1 only. Ctrl-C or SIGTERM lets requests in flight end; once more ends at once.

    tidegate serve iris.joblib digits.onnx
    tidegate serve service.yaml --state-directory state/
""",
    "infer": """Ask a model that is being served.

The model's signature is fetched first, so that values get its datatypes and shapes.

    tidegate infer iris --input X=5.1,3.5,1.4,0.2
""",
    "init": """Write a custom model in Python, with its test.

    tidegate init greeter --kind class
""",
    "models inspect": """Show what a model is: its runtime and format, whether it can run code, and its signature.

A path is read from disk, and its model loaded in a process of its own; a name is asked for at a server.

    tidegate models inspect iris.joblib --trusted
""",
    "keys create": """Make an API key for somebody, and print it. It is shown this once.

`tidegate serve --auth keys` takes it within a second.

    tidegate keys create ann --scope 'infer:*' --expires 90d
""",
    "keys list": """Show the API keys that there are, without their secrets, which nobody has.

    tidegate keys list
""",
    "keys revoke": """Take an API key back, or all of a name. A server that runs refuses it within a second.

    tidegate keys revoke ann
""",
    "validate": """Check manifests, and tell all that is wrong with them at once.

Needs no server. ModelService (tidegate.dev/v1) and KServe's InferenceService, ServingRuntime, ClusterServingRuntime.
Ends with 1 if a document is at fault.

    tidegate validate service.yaml kserve/ --strict
""",
    "explain": """Explain a kind of resource, or a field of it: its meaning, type and default, and what is below it.

    tidegate explain modelservice.spec.predictor.batcher
""",
    "apply": """Make resources as manifests describe them; fields that others have set are let be.

All faults of all documents are told at once, and nothing is sent while there is one.

    tidegate apply -f service.yaml --wait
""",
    "diff": """Show what `apply` would change; ends with 1 if that is anything, with 2 if it cannot be told.

    tidegate diff -f service.yaml
""",
    "get": """Show resources: all of a kind, or those that are named.

    tidegate get modelservices -o wide
""",
    "describe": """Tell all about resources: what they are to be, what they are, and what was told about them.

    tidegate describe iris
""",
    "delete": """Delete resources, and wait until they are gone.

    tidegate delete modelservice iris
""",
    "wait": """Wait until resources are as they are wanted; ends with 3 when they are not in time.

    tidegate wait iris --for condition=Ready --timeout 2m
""",
    "scale": """Set the number of a service's replicas, or within which bounds it follows the load.

    tidegate scale iris --replicas 3
    tidegate scale iris --auto --min 1 --max 8
""",
    "rollout history": """Show the revisions of a service that are kept, and how they came: the rollouts that it had.

    tidegate rollout history iris
""",
    "rollout status": """Show how far a change of a service is, and wait until it is done.

In a terminal a rollout is redrawn in place: its steps, verdicts, what comes next and when; in a pipe there is a line
for each change. Ends with 3 when it is not in time or is paused, with 1 when it cannot be or was rolled back.

    tidegate rollout status iris
""",
    "rollout promote": """Have a rollout take its next step now, whatever the analysis says by now; a paused one, too.

    tidegate rollout promote iris --full
""",
    "rollout pause": """Have a rollout stay as it is: its share of the traffic, and its replicas.

    tidegate rollout pause iris
""",
    "rollout resume": """Have a paused rollout go on.

    tidegate rollout resume iris
""",
    "rollout abort": """Have a rollout go back: the revision before has all of the traffic again.

What the manifest says stays; `rollout undo` changes that, too.

    tidegate rollout abort iris
""",
    "rollout retry": """Begin the rollout of a revision again that was rolled back or has failed.

    tidegate rollout retry iris
""",
    "rollout undo": """Go back to an earlier revision of a service: to its model, and to the settings that it had.

Replicas, scaling and labels stay as they are. While that revision still runs, its answers are back at once.

    tidegate rollout undo iris --to-revision 1
""",
    "rollout restart": """Have a service's model looked up again; if it is another one by now, that is a new revision.

    tidegate rollout restart iris
""",
    "events": """Show what was told about resources, the latest last.

    tidegate events iris -w
""",
    "notify test": """Send a test message to the channels of a service, and show what came of each.

Ends with 1 if one of them did not take it.

    tidegate notify test iris
""",
    "logs": """Show what the replicas of a service have written, as far as it is kept.

    tidegate logs iris --tail 20 -f
""",
    "kubeconfig": """Write a kubeconfig for the server that commands ask; certificates and tokens are within it.

    tidegate kubeconfig --output tidegate.kubeconfig
""",
    "config view": """Show which server commands ask, and with what; tokens are not shown.

    tidegate config view --origin
""",
    "config get-contexts": """List the contexts of the configuration file.

    tidegate config get-contexts
""",
    "config current-context": """Print the name of the context that is meant where no other is named.

    tidegate config current-context
""",
    "config use-context": """Choose the context that is meant where no other is named.

    tidegate config use-context laptop
""",
    "config set-context": """Keep a server, a namespace and what lets in there under a name.

    tidegate config set-context laptop --server http://127.0.0.1:8082 --use
""",
    "config delete-context": """Take a context out of the configuration file.

    tidegate config delete-context laptop
""",
    "simulate": """Play scaling policies against a workload: who would have waited, and what it would have cost.

Needs no server, and is reckoned in virtual time: an hour of a service takes seconds. A star marks the policies that no
other one beats on both.

    tidegate simulate --trace step --policy qda,kpa,hpa,ray --start 1,30
""",
    "doctor": """Check whether this machine is ready to serve.

Ends with 1 if anything fails; a warning is worth reading and stops nothing.
""",
    "completion": """Write the shell's completion of tidegate to stdout.

In fish, `tidegate completion fish | source` reads it; in zsh it is the file _cyclopts_tidegate in a folder of $fpath;
and in bash

    source <(tidegate completion bash)
""",
    "version": "Show the version of tidegate and of what it stands on.",
}
"""What ``--help`` says. It stands here and not with the commands, which are imported only when they run."""

GROUPS = {
    "keys": "Say who may use a server.",
    "models": "Look at models, on disk or being served.",
    "rollout": "The revisions of a service: which there are, how a change goes, and the way back.",
    "notify": "The channels of a service: Slack, Teams and webhooks, which its manifest names.",
    "config": "Servers by name, and which of them is meant.",
}

HELP = """Serve models of any framework behind the Open Inference Protocol v2.

Every option can also be set by an environment variable, TIDEGATE_COMMAND_OPTION; a flag goes before it.
"""


def main() -> None:
    """Run the command that was typed and leave with its exit code."""
    open_standard_streams()
    sys.exit(run(sys.argv[1:]))


def open_standard_streams() -> None:
    """Open those of stdin, stdout and stderr that our parent has closed, to nothing.

    Else the first sockets get their numbers: what is printed goes to a client, and libuv aborts when it closes one.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # the lowest free number, which is this one
    sys.stdout = sys.stdout or open(1, "w", closefd=False)  # noqa: SIM115 - as long as the process
    sys.stderr = sys.stderr or open(2, "w", closefd=False)  # noqa: SIM115


def build() -> App:
    """The command line. Commands are named by import path, so that each is imported only when it is meant."""
    app = App(name="tidegate", help=HELP, version=_version, config=Env(PREFIX), result_action="return_value")
    groups = {name: App(name=name, help=text) for name, text in GROUPS.items()}
    for command, text in COMMANDS.items():
        group, _, name = command.rpartition(" ")
        (groups[group] if group else app).command(
            f"tidegate.cli.{group or name}:{name.replace('-', '_')}", name=name, help=text
        )
    for one in groups.values():
        app.command(one)
    return app


def run(argv: Sequence[str]) -> int:
    """Run one command line and return its exit code; every error has been told on stderr by then."""
    app = build()
    app.meta.config = ()  # else --debug would have one environment variable per command

    @app.meta.default
    def _launch(
        *tokens: Annotated[str, Parameter(show=False, allow_leading_hyphen=True)],
        debug: Annotated[
            bool, Parameter(negative=(), env_var="TIDEGATE_DEBUG", help="Show the traceback of an error.")
        ] = False,
    ) -> int:
        for note in unknown_variables(app, tokens, os.environ):
            _console().print(note, markup=False, highlight=False, soft_wrap=True)
        return _guarded(app, tokens, debug)

    return _guarded(app.meta, argv, debug=False)


def _guarded(app: App, tokens: Sequence[str], debug: bool) -> int:
    try:
        code = int(app(tokens, exit_on_error=False, print_error=False) or Exit.GOOD)
        sys.stdout.flush()  # here, where a reader that has left is caught
        return code
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    except BrokenPipeError:
        # The reader of our output has left (`| head`); what Python flushes at exit must not fail again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
    except Exception as error:
        # The border of the process: whatever it is, the user reads a sentence, and a traceback only on demand.
        if debug and not isinstance(error, CycloptsError):
            traceback.print_exc()
        return _told(error)


def _told(error: Exception) -> int:
    """Write an error's cause and hint to stderr; returns the exit code it stands for."""
    failure = _as_failure(error)
    console = _console()
    console.print("[bold red]error:[/] ", end="")
    console.print(failure.cause, markup=False, highlight=False, soft_wrap=True)
    if failure.hint:
        console.print("[bold]hint:[/] ", end="")
        console.print(failure.hint, markup=False, highlight=False, soft_wrap=True)
    return failure.code


def _as_failure(error: Exception) -> Failure:
    from tidegate.protocol.errors import TidegateError

    if isinstance(error, Failure):
        return error
    if isinstance(error, CycloptsError):
        error.verbose = False
        command = " ".join(("tidegate", *(error.command_chain or ())))
        return Failure(str(error), f"`{command} --help` shows what it takes", Exit.USAGE)
    if isinstance(error, TidegateError):
        return Failure(error.message)
    return Failure(f"{type(error).__name__}: {error}", "this is a fault of tidegate; --debug shows where it happened")


def _console() -> Console:
    from rich.console import Console

    return Console(stderr=True)


def _version() -> str:
    from importlib.metadata import version

    return version("tidegate")
