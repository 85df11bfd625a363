"""Variables of the environment that look like options and are none: said, not passed over in silence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import get_close_matches

from cyclopts import App

PREFIX = "TIDEGATE_"


def unknown_variables(app: App, tokens: Sequence[str], environment: Mapping[str, str]) -> list[str]:
    """A sentence for every ``TIDEGATE_<COMMAND>_…`` that is no option of the command that the tokens name."""
    words, meant = [], app
    for token in tokens:
        if token not in meant:
            break
        words.append(token)
        meant = meant[token]
    command = " ".join(words)
    prefix = f"{PREFIX}{'_'.join(words).upper()}_"
    found = [key for key in environment if command and key.startswith(prefix)]
    if not found or meant.default_command is None:
        return []
    arguments = meant.assemble_argument_collection()
    known = {prefix + name.lstrip("-").upper().replace("-", "_") for argument in arguments for name in argument.names}
    notes = []
    for key in sorted(set(found) - known):
        close = get_close_matches(key, [name for name in known if len(name) > len(prefix) + 1], n=1)
        hint = f"; did you mean {close[0]}?" if close else ""
        notes.append(f"note: {key} is no option of `tidegate {command}`{hint}")
    return notes
