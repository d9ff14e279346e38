#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Write a linker version script with every function that VUC_EXPORT stands beside."""

import argparse
import pathlib
import re

# The marker, the return type on its own line or not, then the name before its parameters.
EXPORTED = re.compile(r'^VUC_EXPORT\b[^;{}()]*?\b(\w+)\s*\(', re.MULTILINE)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('sources', nargs='+', type=pathlib.Path)
    parser.add_argument('--output', required=True, type=pathlib.Path)
    parser.add_argument('--version', required=True, help='name of the version node')
    args = parser.parse_args()

    names = sorted({name for source in args.sources if source.suffix == '.c'
                    for name in EXPORTED.findall(source.read_text(encoding='utf-8'))})
    lines = [f'{args.version} {{', 'global:']
    lines += [f'\t{name};' for name in names]
    lines += ['local:', '\t*;', '};', '']
    args.output.write_text('\n'.join(lines), encoding='utf-8')


if __name__ == '__main__':
    main()
