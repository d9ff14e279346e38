# SPDX-License-Identifier: BSD-3-Clause
"""What a program's --help says about its commands and their options."""

import re
import subprocess
from typing import NamedTuple

COMMANDS = re.compile(r'^(?:Commands|Measurements):\n((?:  \S.*\n)+)', re.MULTILINE)
OPTION_LINE = re.compile(r'^ +(-.*?)(?: {2,}.*)?$', re.MULTILINE)
NAME = r'--?[A-Za-z][\w-]*'
OPTION = re.compile(rf'({NAME}(?:, {NAME})*)(.*)')


class Option(NamedTuple):
    names: frozenset
    takes_value: bool

    @classmethod
    def parse(cls, text):
        """Make an option of a text like '-t, --timeout MS'; None for another text."""
        match = OPTION.match(text)
        return cls(frozenset(match[1].split(', ')), bool(match[2].strip())) if match else None

    @property
    def long(self):
        return max(self.names, key=len)

    def __str__(self):
        return ', '.join(sorted(self.names)) + (' VALUE' if self.takes_value else '')


class Program:
    def __init__(self, executable, name):
        self.executable = executable
        self.name = name
        self.options = {}   # of each command, as it is typed: 'vucctl irq wait'
        self.commands = {}  # below each command
        self._ask(name)

    @property
    def leaves(self):
        """The commands that have none below them; none for a program without commands."""
        return {path for path in self.commands if not self.commands[path]} - {self.name}

    def all_options(self):
        """Yield each option with the command that it is of."""
        for path, options in self.options.items():
            for option in options:
                yield path, option

    def run(self, path, *args):
        words = [self.executable, *path.split()[1:], *args]
        return subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              timeout=60, check=False)

    def _ask(self, path):
        text = self.run(path, '--help').stdout
        self.options[path] = {Option.parse(line) for line in OPTION_LINE.findall(text)} - {None}
        listed = COMMANDS.search(text)
        self.commands[path] = [line.split()[0] for line in listed[1].splitlines()] if listed else []
        for command in self.commands[path]:
            self._ask(f'{path} {command}')
