# SPDX-License-Identifier: BSD-3-Clause
"""What a man page says about the options of a program's commands.

An option is a line like '*-t*, *--timeout* _MS_' with an indented text below it. It belongs to the
command that the heading names ('## vucctl irq mask|unmask'), below '# DEVICE OPTIONS' to all
commands whose section speaks of a '_DEVICE OPTION_', or else to the program itself.
"""

import collections
import re

from program import Option

HEADING = re.compile(r'^(##?) (.*)$')
GROUP = re.compile(r'^([A-Z ]+ OPTION)S$')
MENTION = re.compile(r'_([A-Z ]+ OPTION)_')
WORDS = re.compile(r'\*[\w-]+\*(?:\|\*[\w-]+\*)+$')
LONG_NAME = re.compile(r'(?<![\w-])--[a-z][a-z0-9-]*')


class Page:
    def __init__(self, text, name):
        self.name = name
        self.commands = set()
        self.mentioned = set(LONG_NAME.findall(text))
        self._values = {}
        self._options = collections.defaultdict(set)  # by command or group
        self._groups = collections.defaultdict(set)   # that a command takes
        self._read(text.splitlines())

    def options(self, path):
        """The options of a command; --help is the same everywhere, and so are --usage and --version of
        programs that have both."""
        options = set(self._options[path])
        own = self._options[self.name]
        common = {'--help'}
        if any('--usage' in option.names for option in own):
            common = {'--help', '--usage', '--version'}
        options |= {option for option in own if option.names & common}
        for group in self._groups[path]:
            options |= self._options[group]
        return options

    def values(self, path, long_name):
        """The words that an option takes, if the page lists them behind it."""
        return next((self._values[scope, long_name] for scope in (path, *self._groups[path])
                     if (scope, long_name) in self._values), None)

    def _read(self, lines):
        scopes = [self.name]
        for line, below in zip(lines, lines[1:] + ['']):
            heading = HEADING.match(line)
            if heading:
                scopes = self._scopes(*heading.groups(), scopes)
                continue
            option = None
            if line.startswith('*-') and below.startswith('\t'):
                option = Option.parse(re.sub('[*_]', '', line))
            for scope in scopes:
                self._groups[scope] |= set(MENTION.findall(line))
                if option:
                    self._add(scope, option, WORDS.search(line))

    def _add(self, scope, option, words):
        self._options[scope].add(option)
        if words:
            self._values[scope, option.long] = set(words[0].replace('*', '').split('|'))

    def _scopes(self, level, title, scopes):
        """Return the commands or the group that what follows a heading is about."""
        if level == '##' and title.startswith(self.name + ' '):
            path, _, last = title.rpartition(' ')
            commands = [f'{path} {word}' for word in last.split('|')]
            self.commands |= set(commands)
            return commands
        if level == '##':
            return scopes
        group = GROUP.match(title)
        return [group[1] if group else self.name]
