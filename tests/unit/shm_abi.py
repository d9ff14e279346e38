#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Check that docs/shm-abi.md has what <vuc/shm.h> has: each struct, field, offset, size and number.

The tables become static assertions, which the compiler checks against the header.
"""

import argparse
import pathlib
import re
import shlex
import subprocess
import sys

TABLE = re.compile(r'^\| offset \| bytes \| `struct (\w+)`, (\d+) bytes \| \|\n\|[-|]+\|\n((?:\|.*\n)+)',
                   re.MULTILINE)
ROW = re.compile(r'^\| (\d+) \| (\d+|…) \| `(\w+)` \|')
HEADER_ALONE = re.compile(r'`struct (\w+)`, (\d+) bytes, is the header alone')
NUMBER = re.compile(r'(?<=\| )(0x[0-9a-f]+|\d+)(?= \| `(VUC_SHM_\w+)`)|`(VUC_SHM_\w+)` (?:\| |\()(0x[0-9a-f]+|\d+)')


def without_comments(text):
    return re.sub(r'/\*.*?\*/', '', text, flags=re.DOTALL)


def structs_of(header):
    """Names of structs, with those of their fields that mean something."""
    found = {}
    for name, body in re.findall(r'struct (\w+) \{(.*?)\n\};', header, re.DOTALL):
        fields = re.findall(r'(\w+)(?:\[[^\]]*\])?;', re.sub(r'uint8_t pad\d?\[\d+\];', '', body))
        found[name] = set(fields) - {'header'}
    return found


def constants_of(header):
    names = set(re.findall(r'#define (VUC_SHM_\w+)[ \t]+\S', header))
    for body in re.findall(r'enum \w+ \{(.*?)\}', header, re.DOTALL):
        names |= set(re.findall(r'(VUC_SHM_\w+)', body))
    return names


def assertions(document):
    """(what, C expression) for all that the document says, and what it says it of."""
    facts, structs, constants = [], {}, set()
    for name, size in HEADER_ALONE.findall(document):
        structs[name] = set()
        facts.append((name, f'sizeof(struct {name}) == {size}'))
    for name, size, rows in TABLE.findall(document):
        facts.append((name, f'sizeof(struct {name}) == {size}'))
        structs[name] = set()
        for offset, length, field in map(lambda r: ROW.match(r).groups(), rows.splitlines()):
            structs[name].add(field)
            facts.append((f'{name}.{field}', f'offsetof(struct {name}, {field}) == {offset}'))
            if length != '…':
                facts.append((f'{name}.{field}',
                              f'sizeof(((struct {name} *)0)->{field}) == {length}'))
    for before, name1, name2, after in NUMBER.findall(document):
        constants.add(name1 or name2)
        facts.append((name1 or name2, f'{name1 or name2} == {before or after}'))
    return facts, structs, constants


def compile_facts(compiler, include, facts):
    source = '#include <vuc/shm.h>\n' + ''.join(
        f'_Static_assert({expression}, "{what}: {expression}");\n' for what, expression in facts)
    return subprocess.run(
        [*shlex.split(compiler), '-fsyntax-only', f'-I{include}', '-x', 'c', '-'],
        input=source, capture_output=True, text=True, check=False)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--document', required=True, type=pathlib.Path)
    parser.add_argument('--include', required=True, type=pathlib.Path)
    parser.add_argument('--cc', required=True, help='the C compiler, with its arguments')
    args = parser.parse_args()
    header = without_comments((args.include / 'vuc' / 'shm.h').read_text(encoding='utf-8'))
    facts, structs, constants = assertions(args.document.read_text(encoding='utf-8'))
    compiled = compile_facts(args.cc, args.include, facts)
    missing = constants_of(header) - constants
    results = [
        ('all structs and their fields', structs == structs_of(header),
         {n: f ^ structs.get(n, set()) for n, f in structs_of(header).items()
          if f != structs.get(n)}),
        ('all constants', not missing, sorted(missing)),
        (f'offsets, sizes and values: {len(facts)}', compiled.returncode == 0, compiled.stderr),
    ]
    print(f'1..{len(results)}')
    for number, (name, ok, problem) in enumerate(results, 1):
        print(f'{"" if ok else "not "}ok {number} - docs/shm-abi.md: {name}')
        for line in [] if ok else str(problem).splitlines():
            print(f'# {line}')
    return 0 if all(ok for _, ok, _ in results) else 1


if __name__ == '__main__':
    sys.exit(main())
