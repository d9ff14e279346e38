#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Whether every test that the threat model names is there, and run; and whether every line of its
tables names one, but those of the first table, which says who there is."""

import argparse
import collections
import pathlib
import re
import sys

from tap import Tap

NAMED = re.compile(r'`((?:test|fuzz)_\w+\.(?:c|py)):(\w+|"[^"`]+")`')  # a function, or a row that is a test
DEFINED = r'^(?:def {0}\(|{0}\((?:void|const void \*\w+|const uint8_t \*data, size_t size)\)$)'
FUZZERS = 'LLVMFuzzerTestOneInput'


def tests_named(text):
    """Return the functions that are named, by file."""
    names = collections.defaultdict(set)
    for file, function in NAMED.findall(text):
        names[file].add(function)
    return names


def check_file(paths, functions):
    """Return what is wrong with the tests that are said to be in a file."""
    if len(paths) != 1:
        return [f'{len(paths)} files of this name']
    source = paths[0].read_text()
    problems = []
    for function in sorted(functions):
        if function.startswith('"'):
            if f'{{{function},' not in source:
                problems.append(f'the row {function} is not there')
        elif not re.search(DEFINED.format(function), source, re.MULTILINE):
            problems.append(f'{function}() is not there')
        elif (paths[0].suffix == '.c' and function != FUZZERS and
              len(re.findall(rf'\b{function}\b', source)) < 2):
            problems.append(f'{function}() is not run')
    return problems


def rows_without_test(text):
    """Return the lines of tables with the heading 'shown by' that name no test."""
    rows = []
    in_table = False
    for line in text.splitlines():
        if line.endswith('| shown by |'):
            in_table = True
        elif not line.startswith('|'):
            in_table = False
        elif in_table and not line.startswith('|---') and not NAMED.search(line):
            rows.append(line)
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('document', type=pathlib.Path)
    parser.add_argument('tests', type=pathlib.Path, help='folder of the tests')
    args = parser.parse_args()
    text = args.document.read_text()
    names = tests_named(text)
    tap = Tap()
    tap.check('it names tests', [] if names else ['none'])
    tap.check('every line names a test', rows_without_test(text))
    for file, functions in sorted(names.items()):
        tap.check(file, check_file(list(args.tests.rglob(file)), functions))
    return tap.finish()


if __name__ == '__main__':
    sys.exit(main())
