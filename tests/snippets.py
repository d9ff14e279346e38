#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Check that the C code of a document is, word for word, in sources that the build compiles."""

import pathlib
import re
import sys

BLOCK = re.compile(r'^```c\n(.*?)^```$', re.MULTILINE | re.DOTALL)


def main():
    document, *sources = map(pathlib.Path, sys.argv[1:])
    code = '\0'.join(source.read_text(encoding='utf-8') for source in sources)
    blocks = BLOCK.findall(document.read_text(encoding='utf-8'))
    print(f'1..{len(blocks)}')
    ok = True
    for number, block in enumerate(blocks, 1):
        found = block in code
        ok = ok and found
        first = block.strip().splitlines()[0].strip()
        print(f'{"ok" if found else "not ok"} {number} - {document.name}: {first}')
    return 0 if ok and blocks else 1


if __name__ == '__main__':
    sys.exit(main())
