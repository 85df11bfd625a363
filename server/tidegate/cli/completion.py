"""``tidegate completion``."""

from __future__ import annotations

from typing import Annotated, Literal

from cyclopts import Parameter


def completion(shell: Annotated[Literal["bash", "zsh", "fish"], Parameter(show_env_var=False)], /) -> None:
    """Write the shell's completion of tidegate to stdout.

    Parameters
    ----------
    shell
        The shell that will read it.
    """
    from tidegate.cli.main import build

    print(build().generate_completion(shell=shell))
