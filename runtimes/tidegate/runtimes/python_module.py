"""A model.py as a module of this process, and the one thing in it that is the model.

Its folder stands first in ``sys.path``, as with ``python model.py``, for as long as the model is loaded: a worker holds
one model. Whoever loads several in one process, as a test may, closes each, which takes out again what came with it.
"""

from __future__ import annotations

import importlib
import inspect
import linecache
import logging
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

from tidegate.protocol.errors import ModelLoadFailed, TidegateError, shown
from tidegate.runtimes.custom import Declaration, declaration_of
from tidegate.runtimes.execution import described

log = logging.getLogger(__name__)

NAME = "model"
"""What the module is called, so that ``from model import …`` in a helper, and a pickle's reference, mean this one."""


class ModelModule:
    """The executed file. ``target`` is the function or class that was declared, ``declaration`` what was said of it."""

    def __init__(self, model: str, file: Path, shared: bool) -> None:
        """Execute ``file``; nothing of its folder can be imported where that is ``shared`` with other models.

        Raises:
            ModelLoadFailed: it is no Python, it raises, or it does not declare exactly one model.
        """
        self.file = file.name
        self.folder = file.parent
        self._model = model
        self._file = file
        self._folder = str(file.parent)
        self._importable = not shared
        # A model's folder stays what its owner made it, also where a helper is imported by a request.
        self._wrote_no_bytecode, sys.dont_write_bytecode = sys.dont_write_bytecode, True
        if self._importable:
            sys.path.insert(0, self._folder)
            importlib.invalidate_caches()
        self._module = ModuleType(NAME)
        try:
            self._execute()
            self.target, self.declaration = self._declared()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Take the module, the helpers beside it and its folder out of the process."""
        if self._importable and self._folder in sys.path:
            sys.path.remove(self._folder)
            prefix = f"{self._folder}/"
            for name, module in list(sys.modules.items()):
                if str(getattr(module, "__file__", None) or "").startswith(prefix):
                    del sys.modules[name]
        if sys.modules.get(NAME) is self._module:
            del sys.modules[NAME]
        sys.dont_write_bytecode = self._wrote_no_bytecode

    def call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Call something of the model's while it is loaded.

        Raises:
            ModelLoadFailed: it raised; its traceback is in the log.
        """
        with self._told():
            return function(*arguments)

    def where(self, function: Callable[..., Any]) -> str:
        """A function as a message names it: "predict (model.py, line 7)"."""
        inner = inspect.unwrap(function)
        code = getattr(inner, "__code__", None)
        place = self.file if code is None else f"{Path(code.co_filename).name}, line {code.co_firstlineno}"
        return f"{getattr(inner, '__name__', 'predict')} ({place})"

    def _execute(self) -> None:
        self._module.__file__ = str(self._file)
        sys.modules[NAME] = self._module
        linecache.checkcache(str(self._file))
        with self._told():
            exec(self._compiled(), self._module.__dict__)

    def _compiled(self) -> CodeType:
        try:
            return compile(self._file.read_bytes(), str(self._file), "exec", dont_inherit=True)
        except ValueError as error:  # what Python 3.11 says of a zero byte; a SyntaxError from 3.12 on
            raise SyntaxError(str(error)) from error

    def _declared(self) -> tuple[Callable[..., Any], Declaration]:
        # By identity: one object may have several names.
        found = {
            id(value): (value, declaration)
            for value in vars(self._module).values()
            if (declaration := declaration_of(value)) is not None
        }
        if len(found) == 1:
            return next(iter(found.values()))
        names = ", ".join(f"'{value.__qualname__}'" for value, _ in found.values())
        raise ModelLoadFailed(
            f"model '{self._model}': '{self._file.name}' declares {'several models, ' + names if names else 'no model'}"
            f"; put @model (from tidegate.runtimes import model) above the one function or class that is it"
        )

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Turn whatever the model's code raises into one sentence, with the line of the model's own that it was in."""
        try:
            yield
        except TidegateError:
            raise
        except SyntaxError as error:
            file = Path(error.filename or self._file).name
            line = f" line {error.lineno}" if error.lineno else ""
            raise self._failed(f"'{file}'{line} is no Python: {shown(error.msg, 200)}", error) from error
        except ModuleNotFoundError as error:
            raise self._failed(
                f"{self._line(error)} needs the Python module '{shown(error.name)}', which is neither installed here "
                f"nor beside it",
                error,
            ) from error
        except (Exception, SystemExit) as error:  # a program; what it may raise has no bound
            raise self._failed(f"{self._line(error)} raised {self._plain(error)}", error) from error

    def _failed(self, problem: str, error: BaseException) -> ModelLoadFailed:
        log.error("model %s does not load", self._model, exc_info=error)
        return ModelLoadFailed(f"model '{self._model}': {problem}")

    def _line(self, error: BaseException) -> str:
        """The last line of the model's own files that the error went through."""
        frames = [
            frame
            for frame in traceback.extract_tb(error.__traceback__)
            if Path(frame.filename).parent == self._file.parent
        ]
        return f"'{Path(frames[-1].filename).name}' line {frames[-1].lineno}" if frames else f"'{self._file.name}'"

    def _plain(self, error: BaseException) -> str:
        """Its text, without the folders of this machine."""
        return described(error).replace(f"{self._folder}/", "")
