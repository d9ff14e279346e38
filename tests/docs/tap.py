# SPDX-License-Identifier: BSD-3-Clause
"""Tests that print what they find as TAP."""


class Tap:
    def __init__(self):
        self.count = 0
        self.failed = False

    def check(self, name, problems):
        """Print one test, which fails when there are problems."""
        self.count += 1
        self.failed |= bool(problems)
        print(f'{"not ok" if problems else "ok"} {self.count} - {name}')
        for problem in problems:
            print(f'# {problem}')

    def skip(self, name, reason):
        self.count += 1
        print(f'ok {self.count} - {name} # SKIP {reason}')

    def finish(self):
        """Print how many tests there were, and return an exit status."""
        print(f'1..{self.count}')
        return 1 if self.failed else 0


def differences(what, wanted, seen):
    """Return what tells two sets apart, none or some lines."""
    lines = [(f'{what}: {word} {", ".join(sorted(map(str, items)))}', items)
             for word, items in (('without', wanted - seen), ('surplus', seen - wanted))]
    return [line for line, items in lines if items]
