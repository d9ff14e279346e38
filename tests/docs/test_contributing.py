#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Whether CONTRIBUTING.md names files, folders and functions that exist."""

import pathlib
import re
import sys

from tap import Tap

PATH = re.compile(r'`((?:app|benchmarks|docs|drivers|examples|include|lib|packaging|tests)/[\w./*-]*)`')
FUNCTION = re.compile(r'`(\w+)\(\)`')


def missing_paths(text, root):
    return [path for path in sorted(set(PATH.findall(text))) if not any(root.glob(path.rstrip('/')))]


def missing_functions(text, root):
    sources = [source.read_text() for folder in ('drivers', 'lib', 'tests')
               for source in (root / folder).rglob('*.c')]
    return [name for name in sorted(set(FUNCTION.findall(text)))
            if not any(re.search(rf'^{name}\(', source, re.MULTILINE) for source in sources)]


def main():
    root = pathlib.Path(sys.argv[1])
    text = (root / 'CONTRIBUTING.md').read_text()
    tap = Tap()
    tap.check('it names paths and functions',
              [] if PATH.search(text) and FUNCTION.search(text) else ['none'])
    tap.check('each path exists', missing_paths(text, root))
    tap.check('each function exists', missing_functions(text, root))
    return tap.finish()


if __name__ == '__main__':
    sys.exit(main())
