#!/usr/bin/python3
"""Reads a directory repository of walship, without walship.

    read_walship.py wal REPO SYSID NAME OUT [--key-file F]
    read_walship.py backup REPO SYSID ID TARGETDIR [--key-file F]
                    [--tablespace OID=DIR]...

The first writes a WAL file, once all of it is verified.  The second rebuilds a
base backup below TARGETDIR, which is absent or empty; tablespaces become plain
directories there unless --tablespace names others.  Configuration files from
outside the data directory are verified, not written.  No recovery is set up.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from walship_backup import Repository, rebuild_backup
from walship_format import Corrupt, read_key_file


def tablespace(text: str) -> tuple[int, Path]:
    oid, _, place = text.partition("=")
    if not (oid.isdecimal() and place):
        raise argparse.ArgumentTypeError(f'"{text}" is not OID=DIR')
    return int(oid), Path(place)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    wal = commands.add_parser("wal", help="one WAL file")
    backup = commands.add_parser("backup", help="a whole base backup")
    for command in (wal, backup):
        command.add_argument("repo", type=Path)
        command.add_argument("sysid", type=int)
        command.add_argument("name" if command is wal else "id")
        command.add_argument("out" if command is wal else "targetdir", type=Path)
        command.add_argument("--key-file", type=Path)
    backup.add_argument(
        "--tablespace", type=tablespace, action="append", default=[], metavar="OID=DIR"
    )
    return parser.parse_args()


def main() -> int:
    arguments = parse_arguments()
    try:
        keys = read_key_file(arguments.key_file) if arguments.key_file else {}
        repository = Repository(arguments.repo, arguments.sysid, keys)
        if arguments.command == "wal":
            name = f"wal/{arguments.name[:8]}/{arguments.name}"
            arguments.out.write_bytes(b"".join(repository.frames(name)))
        else:
            rebuild_backup(
                repository,
                arguments.id,
                arguments.targetdir,
                dict(arguments.tablespace),
            )
    except (Corrupt, OSError) as error:
        print(f"read_walship.py: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
