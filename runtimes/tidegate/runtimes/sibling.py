"""A fork whose child is not a child of the process that forks, but of that one's parent: its sibling.

The gateway then is the parent of every worker, forked or spawned: it sees the end of each, with its status, whatever
has become of the process that forked it. Linux has this as a flag of clone(2), CLONE_PARENT, and the C library does
not offer it; so the system call is made here, in a process that has one thread, and around it Python is told what
``os.fork`` would tell it. The C library's own note of the thread's id is brought up to date by the kernel
(CLONE_CHILD_SETTID), at the address at which it clears it when a thread ends; abort() needs it. Handlers that
libraries have set for fork(2), pthread_atfork, are not called: they deal with threads, and there are none.
"""

from __future__ import annotations

import ctypes
import os
import platform
import signal
from pathlib import Path

_CLONE_PARENT = 0x00008000
_CLONE_CHILD_CLEARTID = 0x00200000
_CLONE_CHILD_SETTID = 0x01000000
_PR_GET_TID_ADDRESS = 40
_CLONE = {"x86_64": 56, "aarch64": 220}
"""The system call's number; where the machine is none of these, there are no siblings."""


class SiblingsUnavailable(Exception):
    """This system makes none."""


class Siblings:
    """Makes them.

    Raises:
        SiblingsUnavailable: this is another machine or kernel than those of which it is known how.
    """

    def __init__(self) -> None:
        number = _CLONE.get(platform.machine()) if platform.system() == "Linux" else None
        if number is None:
            raise SiblingsUnavailable(f"not on {platform.system()} on {platform.machine()}")
        self._number = number
        self._c = ctypes.PyDLL(None, use_errno=True)  # keeps the interpreter's lock
        address = ctypes.c_ulong()
        if self._c.prctl(_PR_GET_TID_ADDRESS, ctypes.byref(address)) or not address.value:
            raise SiblingsUnavailable("the kernel does not tell where the thread's id is kept")
        self._address = address

    def fork(self) -> int:
        """As ``os.fork``: 0 in the new process, its id in this one.

        Raises:
            OSError: there can be no more processes, or not this way.
        """
        flags = _CLONE_PARENT | _CLONE_CHILD_SETTID | _CLONE_CHILD_CLEARTID | signal.SIGCHLD
        python = ctypes.pythonapi
        python.PyOS_BeforeFork()
        # The fourth and the fifth are the id's address and the thread's storage, or the other way round, by machine;
        # the storage is not looked at without its flag.
        pid: int = self._c.syscall(
            ctypes.c_long(self._number), ctypes.c_ulong(flags), None, None, self._address, self._address
        )
        if pid == 0:
            python.PyOS_AfterFork_Child()
            return 0
        python.PyOS_AfterFork_Parent()
        if pid < 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
        return pid


def threads() -> int:
    """The threads of this process, those of libraries among them."""
    return len(list(Path("/proc/self/task").iterdir()))
