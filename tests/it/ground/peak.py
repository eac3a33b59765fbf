#!/usr/bin/python3
"""peak.py FILE COMMAND ... - runs a command and notes peak memory, in KiB.

Also that of processes which the command leaves behind: they are handed to a
process that outlives this one.  One line in FILE for each process that ended.
"""

from __future__ import annotations

import ctypes
import os
import sys

PR_SET_CHILD_SUBREAPER = 36


def note(file: str, kib: int) -> None:
    out = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    os.write(out, f"{kib}\n".encode())
    os.close(out)


def watch(file: str, command: list[str], tell: int) -> None:
    """Tells how the command ended at once, and stays until all have."""
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    child = os.fork()
    if child == 0:
        os.execvp(command[0], command)
    os.setsid()
    null = os.open("/dev/null", os.O_RDWR)
    for fd in range(3):
        os.dup2(null, fd)
    while True:
        try:
            pid, status, usage = os.wait4(-1, 0)
        except ChildProcessError:
            return
        note(file, usage.ru_maxrss)
        if pid == child:
            code = os.waitstatus_to_exitcode(status)
            os.write(tell, bytes([code if code >= 0 else 128 - code]))


def main() -> None:
    heard, tell = os.pipe()
    if os.fork() == 0:
        os.close(heard)
        watch(sys.argv[1], sys.argv[2:], tell)
        os._exit(0)
    os.close(tell)
    os._exit(os.read(heard, 1)[0])


if __name__ == "__main__":
    main()
