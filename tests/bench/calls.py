#!/usr/bin/python3
"""calls.py N COMMAND ... - archives the names on standard input, one call each.

As the archiver does, in the working directory: "%p" in COMMAND is the file, and
a success makes its .ready a .done.  The next N of them are ready at any time.
Prints seconds until the last call was over, and the CPU seconds of all that ran,
also of what the calls left behind.
"""

from __future__ import annotations

import contextlib
import ctypes
import itertools
import os
import resource
import sys
import time

PR_SET_CHILD_SUBREAPER = 36
STATUS = "pg_wal/archive_status"


def change(name: str, before: str, after: str) -> None:
    os.rename(f"{STATUS}/{name}.{before}", f"{STATUS}/{name}.{after}")


def call(command: list[str], name: str) -> None:
    args = [word.replace("%p", f"pg_wal/{name}") for word in command]
    pid = os.posix_spawn(args[0], args, os.environ)
    _, status = os.waitpid(pid, 0)
    if status != 0:
        raise SystemExit(f"{args}: {os.waitstatus_to_exitcode(status)}")
    change(name, "ready", "done")


def main() -> None:
    names = sys.stdin.read().split()
    # Orphans become ours, and their time is counted when they are waited for.
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    begun = time.monotonic()
    waiting = iter(names)
    for name in itertools.islice(waiting, int(sys.argv[1])):
        change(name, "done", "ready")
    for name in names:
        call(sys.argv[2:], name)
        for more in itertools.islice(waiting, 1):
            change(more, "done", "ready")
    wall_s = time.monotonic() - begun
    with contextlib.suppress(ChildProcessError):
        while True:
            os.wait()
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(wall_s, used.ru_utime + used.ru_stime)


main()
