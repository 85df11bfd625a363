"""Secrets that channels name: one file for each, DIRECTORY/NAMESPACE/NAME, read anew each time it is used.

It has the shape of a mounted Secret of Kubernetes. What a namespace names lies in its own folder, for a name has no
slash; a link is followed, for the operator made it.
"""

from __future__ import annotations

import asyncio
import os
import re
import stat
from pathlib import Path
from typing import Protocol

from tidegate.protocol.errors import shown
from tidegate.resources.channel import is_secret_name

MOST = 8192
"""Bytes of one secret."""
_NAMESPACE = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")


class SecretUnusable(Exception):
    """A secret is not there, or cannot be read; the message is one sentence."""


class Secrets(Protocol):
    """Where secrets are."""

    async def read(self, namespace: str, name: str) -> str:
        """Raises:
        SecretUnusable: it is not there, or cannot be read.
        """
        ...


class DirectorySecrets:
    """``directory`` None: there are none."""

    def __init__(self, directory: Path | None) -> None:
        self._directory = directory

    async def read(self, namespace: str, name: str) -> str:
        """See ``Secrets``. Line breaks at its end are not part of it."""
        where = f"{shown(namespace)}/{shown(name)}"
        if not (_NAMESPACE.fullmatch(namespace) and is_secret_name(name)):
            raise SecretUnusable(f"'{where}' is no name of a secret, expected lower case letters, digits, '-' and '.'")
        if self._directory is None:
            raise SecretUnusable(f"there is no secret '{where}': the server was started without --secrets")
        try:
            content = await asyncio.to_thread(_content, self._directory / namespace / name)
        except FileNotFoundError:
            raise SecretUnusable(f"there is no secret '{where}' in the server's directory of secrets") from None
        except OSError as error:
            raise SecretUnusable(f"the secret '{where}' cannot be read: {error.strerror}") from None
        if len(content) > MOST:
            raise SecretUnusable(f"the secret '{where}' has more than {MOST} bytes")
        try:
            return content.decode("ascii").rstrip("\r\n")
        except UnicodeDecodeError:
            raise SecretUnusable(f"the secret '{where}' is no text in ASCII") from None


def _content(path: Path) -> bytes:
    """The first bytes of a file, one more than there may be. What is no file is not read: a pipe would never end."""
    number = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    with open(number, "rb") as file:
        if not stat.S_ISREG(os.fstat(number).st_mode):
            raise OSError(0, "it is no file")
        return file.read(MOST + 1)
