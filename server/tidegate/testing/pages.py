"""Documentation that executes: a page's commands, typed as its reader types them, against what it says they print.

A ```` ```console ```` block holds ``$ command`` lines, continued by ``> `` lines, each followed by what it prints;
``…`` stands for any text within a line, and alone on a line for any lines. A command that ends in ``&`` is a
``tidegate serve``, and goes on until the page ends. A ```` ```python ```` block that begins with ``# NAME.py`` is
that file. Pages show the default ports; here every server has free ones, and the text is translated both ways.
"""

from __future__ import annotations

import json
import os
import pty
import re
import select
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import fields
from pathlib import Path
from types import TracebackType
from typing import IO, NamedTuple, Self

from tidegate.cli import options

PATIENCE = 60.0
"""Seconds after which a command that prints nothing is hanging; nothing is measured by it."""

DEFAULTS = {"http": "127.0.0.1:8080", "grpc": "127.0.0.1:8081", "admin": "127.0.0.1:8082", "status": "127.0.0.1:8083"}
NOBODY = {"http": "127.0.0.1:1", "grpc": "127.0.0.1:2", "admin": "127.0.0.1:4", "status": "127.0.0.1:3"}
"""Where no server listens, for the commands of a page that come before its server."""

TERMINAL = {"TERM": "dumb", "NO_COLOR": "1"}
FREE_PORTS = {
    f"TIDEGATE_SERVE_{option.name.upper()}": "0"
    for group in options.DEFAULTS.groups
    for option in fields(group)  # type: ignore[arg-type]
    if option.name.endswith("_port")
}


class File(NamedTuple):
    """A file that the page tells its reader to write."""

    name: str
    content: str


class Command(NamedTuple):
    """What is typed, what is printed, and the number of its line in the page."""

    text: str
    expected: tuple[str, ...]
    line: int


def steps(page: str) -> Iterator[File | Command]:
    """What the reader of a page does, in order.

    Raises:
        ValueError: a python block does not say which file it is, or a console block does not begin with a command.
    """
    for block in re.finditer(r"^```(console|python)\n(.*?)^```$", page, re.MULTILINE | re.DOTALL):
        line = page.count("\n", 0, block.start(2)) + 1
        if block[1] == "console":
            yield from _commands(block[2].splitlines(), line)
        elif named := re.match(r"# ([\w.-]+\.py)\n", block[2]):
            yield File(named[1], block[2])
        else:
            raise ValueError(f"line {line}: a python block begins with '# NAME.py', the file that it is")


def _commands(lines: list[str], first: int) -> Iterator[Command]:
    if not lines or not lines[0].startswith("$ "):
        raise ValueError(f"line {first}: a console block begins with '$ command'")
    starts = [at for at, line in enumerate(lines) if line.startswith("$ ")]
    for start, end in zip(starts, [*starts[1:], len(lines)], strict=True):
        told = start + 1
        while told < end and lines[told].startswith("> "):
            told += 1
        text = "\n".join(line[2:] for line in lines[start:told])
        yield Command(text, tuple(_bare(lines[told:end])), first + start)


def matches(expected: tuple[str, ...], printed: str) -> bool:
    """Whether that was printed, but for spaces at the ends of lines and empty lines at the end."""
    pattern = "".join(
        r"(?:.*\n)*" if line == "…" else ".*".join(map(re.escape, line.split("…"))) + r"\n" for line in expected
    )
    return re.fullmatch(pattern, "".join(f"{line}\n" for line in _bare(printed.splitlines()))) is not None


def _bare(lines: list[str]) -> list[str]:
    return "\n".join(line.rstrip() for line in lines).rstrip("\n").splitlines()


class Reader:
    """Follows pages in a directory of its own. ``binaries`` is where `tidegate` and `python` are."""

    def __init__(self, directory: Path, binaries: Path) -> None:
        self._directory = directory
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("TIDEGATE_")}
        path = f"{binaries}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
        self._environment = inherited | TERMINAL | FREE_PORTS | {"PATH": path, "HOME": str(directory)}
        self._environment["XDG_CONFIG_HOME"] = str(directory / ".config")
        self._addresses = NOBODY
        self._files: dict[str, str] = {}
        self._server: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._server is None:
            return
        with self._server as server:  # which closes its stdout and waits for it
            server.terminate()
            try:
                server.wait(PATIENCE)
            finally:
                server.kill()

    def follow(self, page: str) -> None:
        """Do what the page says.

        Raises:
            AssertionError: a command does not print what the page says that it prints.
        """
        for step in steps(page):
            if isinstance(step, File):
                self._files[step.name] = step.content
                self._write_files()
                continue
            text = self._translated(step.text)
            printed = self._serve(text.removesuffix(" &")) if text.endswith(" &") else self._run(text)
            printed = self._as_on_the_page(printed)
            problem = "\n".join((f"line {step.line}: $ {step.text}\n{printed}", "--- expected:", *step.expected))
            assert matches(step.expected, printed), problem

    def _write_files(self) -> None:
        """Again once a server has its ports: a client may stand in the page before it."""
        for name, content in self._files.items():
            (self._directory / name).write_text(self._translated(content))

    def _translated(self, text: str) -> str:
        for port, default in DEFAULTS.items():
            text = text.replace(default, self._addresses[port])
        return text if self._server is None else text.replace("$!", str(self._server.pid))

    def _as_on_the_page(self, text: str) -> str:
        for port, default in DEFAULTS.items():
            text = re.sub(rf"{re.escape(self._addresses[port])}(?!\d)", default, text)
        # With the default port the server does not offer this option.
        return text.replace(f" --url http://{DEFAULTS['http']}", "")

    def _run(self, command: str) -> str:
        """What a terminal shows of it, which is what the page's reader sees."""
        terminal, end = pty.openpty()
        environment = self._environment | {"TIDEGATE_INFER_URL": f"http://{self._addresses['http']}"}
        if self._server is not None:  # before it, a page may show where servers are looked for
            environment["TIDEGATE_SERVER"] = f"http://{self._addresses['admin']}"
        with open(terminal, "rb", buffering=0) as screen:
            process = subprocess.Popen(
                ["bash", "-c", command], stdin=end, stdout=end, stderr=end,
                cwd=self._directory, env=environment, start_new_session=True,
            )  # fmt: skip
            os.close(end)
            try:
                printed = _read(screen.fileno())
                process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                raise AssertionError(f"$ {command}\n{printed}\n--- and it does not end") from None
            finally:
                process.kill()
                process.wait()
        return printed.replace("\r\n", "\n")

    def _serve(self, command: str) -> str:
        """Start a server and wait until it is ready; returns what it has said by then."""
        assert self._server is None, "a page has one server"
        environment = self._environment | {"TIDEGATE_SERVE_OUTPUT": "json"}
        with (self._directory / ".server").open("w+") as prose:
            self._server = subprocess.Popen(
                ["bash", "-c", f"exec {command}"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=prose,
                text=True, cwd=self._directory, env=environment,
            )  # fmt: skip
            assert self._server.stdout is not None
            lines = list(_until_ready(self._server.stdout))
            prose.seek(0)
            said = prose.read()
        events = {event["event"]: event for event in map(json.loads, lines)}
        assert "ready" in events, f"$ {command}\n{said}"
        listening = events["listening"]
        self._addresses = {port: listening[port].rpartition("//")[2] for port in DEFAULTS}
        self._write_files()
        return "".join(lines) if "-o json" in command else said


def _until_ready(lines: IO[str]) -> Iterator[str]:
    """JSON lines of a server up to the one that says it is ready; all of its prose has been written by then."""
    for line in lines:
        yield line
        if json.loads(line)["event"] == "ready":
            return


def _read(terminal: int) -> str:
    pieces: list[bytes] = []
    with suppress(OSError):  # Linux's way to say that nobody is left who could write
        while select.select([terminal], [], [], PATIENCE)[0] and (piece := os.read(terminal, 1 << 16)):
            pieces.append(piece)
    return b"".join(pieces).decode(errors="backslashreplace")
