#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Write a linker version script with every function that VUC_EXPORT or VUC_PRIVATE stands beside."""

import argparse
import pathlib
import re

# The marker, the return type on its own line or not, then the name before its parameters.
MARKED = re.compile(r'^(VUC_EXPORT|VUC_PRIVATE)\b[^;{}()]*?\b(\w+)\s*\(', re.MULTILINE)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('sources', nargs='+', type=pathlib.Path)
    parser.add_argument('--output', required=True, type=pathlib.Path)
    parser.add_argument('--version', required=True, help='node of what programs may use')
    parser.add_argument('--private', required=True, help='node of what other libraries of vuc use')
    args = parser.parse_args()

    names = {'VUC_EXPORT': set(), 'VUC_PRIVATE': set()}
    for source in args.sources:
        if source.suffix == '.c':
            for marker, name in MARKED.findall(source.read_text(encoding='utf-8')):
                names[marker].add(name)
    lines = [f'{args.version} {{', 'global:']
    lines += [f'\t{name};' for name in sorted(names['VUC_EXPORT'])]
    lines += ['local:', '\t*;', '};']
    if names['VUC_PRIVATE']:
        lines += [f'{args.private} {{', 'global:']
        lines += [f'\t{name};' for name in sorted(names['VUC_PRIVATE'])]
        lines += ['};']
    args.output.write_text('\n'.join(lines + ['']), encoding='utf-8')


if __name__ == '__main__':
    main()
