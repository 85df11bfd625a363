"""Reading one JSON document into typed values, with every complaint in one sentence that names the place.

msgspec does the reading. It bounds its own recursion, refuses what is not JSON, and never builds what its type
does not ask for; here its exceptions become ours, once, for all that reads JSON from the wire.
"""

from __future__ import annotations

import re
from typing import TypeVar

import msgspec

from tidegate.protocol.datatypes import Datatype
from tidegate.protocol.errors import InvalidRequest, shown
from tidegate.protocol.nan import quote_literals
from tidegate.protocol.tensors import Buffer

T = TypeVar("T")

_QUOTED = re.compile("`([^`]*)`")
_WORDS = {
    "int": "an integer",
    "float": "a number",
    "str": "a string",
    "bool": "true or false",
    "null": "null",
    "array": "an array",
    "object": "an object",
}


def read(decoder: msgspec.json.Decoder[T], text: Buffer, what: str = "the body", root: str = "") -> T:
    """``text`` as ``decoder``'s type. Bare NaN and Infinity are read as if they were quoted.

    Raises:
        InvalidRequest: it is not JSON, or not of that type. The message begins with the path, which ``root`` begins,
            or with ``what`` where the document as a whole is at fault.
    """
    if not text:
        raise InvalidRequest(f"{what} is empty, expected JSON")
    try:
        return decoder.decode(text)
    except msgspec.ValidationError as error:
        raise InvalidRequest(_complaint(error, what, root)) from error
    except msgspec.DecodeError as error:
        quoted = quote_literals(text)
        if quoted is not None:
            return _read_quoted(decoder, quoted, what, root)
        raise InvalidRequest(malformed(error, what)) from error
    except UnicodeDecodeError as error:
        raise InvalidRequest(f"{what} is not valid UTF-8: {error.reason}") from error
    except RecursionError as error:
        raise InvalidRequest(f"{what} nests too deeply") from error


def split_complaint(error: msgspec.ValidationError) -> tuple[str, str]:
    """The path ("" is the document itself) and the problem there."""
    text, _, path = str(error).partition(" - at `$")
    path = path.rstrip("`").lstrip(".")
    if text.startswith("Invalid enum value"):
        # Else it is a string among floats, which was held against the names of non-finite numbers.
        expected = f"one of {', '.join(Datatype)}" if path.endswith("datatype") else "a number"
        return path, f"expected {expected}, got {shown(text.removeprefix('Invalid enum value '))}"
    worded = _QUOTED.sub(_in_words, text).replace("Object missing required field", "missing member")
    worded = worded.replace("Object contains unknown field", "unknown member")
    return path, worded[:1].lower() + worded[1:]


def malformed(error: msgspec.DecodeError, what: str) -> str:
    """Why ``what`` is not JSON: ``the body is not valid JSON: trailing characters (byte 54)``."""
    reason = str(error).removeprefix("JSON is malformed: ")
    if "truncated" in reason:
        reason = "it ends too early, or a string holds half a surrogate pair"
    return f"{what} is not valid JSON: {reason}"


def _complaint(error: msgspec.ValidationError, what: str, root: str) -> str:
    path, problem = split_complaint(error)
    place = root + path if path.startswith("[") or not root else f"{root}.{path}" if path else root
    return f"{place or what}: {problem}"


def _in_words(match: re.Match[str]) -> str:
    kinds = match[1].split(" | ")
    if "float" in kinds and "int" in kinds:
        kinds.remove("int")
    words = [_WORDS.get(kind, f"'{kind}'") for kind in kinds]
    # After "got", a float is told from an integer by its point: 1.0 is none.
    if match.string[: match.start()].endswith("got ") and kinds == ["float"]:
        return "a decimal number"
    return f"{', '.join(words[:-1])} or {words[-1]}" if len(words) > 1 else words[0]


def _read_quoted(decoder: msgspec.json.Decoder[T], text: bytes, what: str, root: str) -> T:
    # Quoting changes the positions, so that the second failure tells none.
    try:
        return decoder.decode(text)
    except msgspec.ValidationError as error:
        raise InvalidRequest(_complaint(error, what, root)) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidRequest(f"{what} is not valid JSON, even with NaN and Infinity allowed") from error
