#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Whether vucd.conf(5) says what vucd --help-config does: sections, keys, values and defaults."""

import argparse
import itertools
import pathlib
import re
import subprocess
import sys
from typing import NamedTuple

from tap import Tap, differences

SECTION = re.compile(r'^(?:# )?\[(\w+(?: NAME)?)\]')
KEY_OF_HELP = re.compile(r'^  (\S+)()$')
KEY_OF_PAGE = re.compile(r'^\*(\S+)\* = (.*)$')
BOLD = re.compile(r'\*([^*]+)\*')
NUMBER = re.compile(r'\b\d+\b')
TAKES = re.compile(r'^(.*); (?:default (.*)|required)$')
ONLY_WORDS = re.compile(r'(?:[a-z]+, )*[a-z]+ or [a-z]+$')
BY_DEFAULT = re.compile(r'(\S+) by default')


class Key(NamedTuple):
    words: set    # that it takes
    numbers: set  # bounds of its value, or of its length
    default: str  # None for a required key


def key_of_help(_, below):
    """The last line below a key says what it takes."""
    takes, default = TAKES.match(below[-1]).groups()
    words = set(re.split(', | or ', takes)) if ONLY_WORDS.match(takes) else set()
    return Key(words, set(NUMBER.findall(takes)), default)


def key_of_page(takes, below):
    text = ' '.join(below)
    default = BY_DEFAULT.search(text)
    return Key(set(BOLD.findall(takes)), set(NUMBER.findall(text)),
               default[1].strip('*') if default else None)


def read(text, key_line, make_key):
    """Return the keys of each section."""
    sections, keys = {}, {}
    lines = text.splitlines()
    for number, line in enumerate(lines):
        section, key = SECTION.match(line), key_line.match(line)
        if section:
            keys = sections.setdefault(section[1], {})
        if key:
            below = itertools.takewhile(re.compile('\t|   ').match, lines[number + 1:])
            keys[key[1]] = make_key(key[2], [line.strip() for line in below])
    return sections


def check_key(name, wanted, seen):
    """What a page says of a key. Words that the help has among others are not looked for."""
    problems = []
    if wanted.words:
        problems += differences(f'{name}: values', wanted.words, seen.words)
    if wanted.default != seen.default:
        problems.append(f'{name}: by default {wanted.default}, not {seen.default}')
    return problems + [f'{name}: no {number}' for number in sorted(wanted.numbers - seen.numbers)]


def check_section(tap, name, wanted, seen):
    both = sorted(set(wanted) & set(seen))
    tap.check(f'{name} has the keys', differences(name, set(wanted), set(seen)))
    tap.check(f'{name} says of them what the help does',
              [problem for key in both for problem in check_key(key, wanted[key], seen[key])])


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('vucd')
    parser.add_argument('page', type=pathlib.Path)
    args = parser.parse_args()

    run = subprocess.run([args.vucd, '--help-config'], stdin=subprocess.DEVNULL,
                         capture_output=True, text=True, timeout=60, check=True)
    wanted = read(run.stdout, KEY_OF_HELP, key_of_help)
    seen = read(args.page.read_text(encoding='utf-8'), KEY_OF_PAGE, key_of_page)
    tap = Tap()
    tap.check('the help has sections with keys',
              [] if wanted and all(wanted.values()) else [f'only {wanted}'])
    tap.check('the page has the sections', differences('vucd.conf', set(wanted), set(seen)))
    for section in sorted(set(wanted) & set(seen)):
        check_section(tap, f'[{section}]', wanted[section], seen[section])
    return tap.finish()


if __name__ == '__main__':
    sys.exit(main())
