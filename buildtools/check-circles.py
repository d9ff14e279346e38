#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Check that no files of a folder call each other in a circle: one TAP test for each archive."""

import graphlib
import re
import subprocess
import sys


def calls_of(archive):
    """Which members of an archive each of them needs a name of."""
    lines = subprocess.run(['nm', '-A', archive], stdout=subprocess.PIPE, text=True, timeout=60,
                           check=True).stdout
    symbols = re.findall(r'([^:/]+)\.c\.o:[0-9a-f ]*\s([A-Za-z]) (\S+)$', lines, re.MULTILINE)
    owners = {name: member for member, kind, name in symbols if kind in 'TDBRC'}
    calls = {member: set() for member, _, _ in symbols}
    for member, kind, name in symbols:
        if kind == 'U' and owners.get(name, member) != member:
            calls[member].add(owners[name])
    return calls


def main():
    failed = False
    for number, archive in enumerate(sys.argv[1:], 1):
        calls = calls_of(archive)
        circle = None if calls else ['no members']
        try:
            graphlib.TopologicalSorter(calls).prepare()
        except graphlib.CycleError as error:
            circle = error.args[1]
        failed |= circle is not None
        print(f'{"not ok" if circle else "ok"} {number} - {archive}')
        if circle:
            print(f'# {" <- ".join(circle)}')
    print(f'1..{len(sys.argv) - 1}')
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main())
