#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Whether man pages and the completion say what the programs' --help says: no less and no more."""

import argparse
import pathlib
import shutil
import sys

from completion import DEVICES, FILES, complete
from page import Page
from program import Program
from tap import Tap, differences

# A line and what is offered at its end.
LINES = [
    ('vucctl pro', {'probe'}),
    ('vucctl migrate l', {'load'}),
    ('vucctl --version pro', {'probe'}),
    ('/opt/vuc/bin/vucctl re', {'read', 'reload', 'remove', 'reset'}),
    ('vucctl probe ', {FILES}),
    ('vucctl probe --ti', {'--timeout'}),
    ('vucctl probe dev.sock ', set()),
    ('vucctl read dev.sock r', {'rom'}),
    ('vucctl read a:b=c@d.sock v', {'vga'}),
    ('vucctl read -t 5000 dev.sock c', {'config'}),
    ('vucctl read --timeout=5000 -T dev.sock c', {'config'}),
    ('vucctl read dev.sock rom ', set()),
    ('vucctl irq wait --index msi', {'msi', 'msix'}),
    ('vucctl irq wait -i msi', {'msi', 'msix'}),
    ('vucctl write --file ', {FILES}),
    ('vucctl write --file=', {FILES}),
    ('vucctl migrate save dev.sock ', {FILES}),
    ('vucctl no-such-command --', set()),
    ('vucctl st', {'status', 'stats'}),
    ('vucctl status ', set()),
    ('vucctl add disk0 ', {FILES}),
    ('vucctl add --dma=m disk0 /disk0.sock ', set()),
    ('vucctl add --posted-writes o', {'on', 'off'}),
    ('vucctl add --io-fds=o', {'on', 'off'}),
    ('vucctl remove -m ', {FILES}),
    ('vucctl remove ', DEVICES),
    ('vucctl stats --watch d', {'disk0'}),
    ('vucd ', set()),
    ('vucd --config=', {FILES}),
    ('vuc-vmm --guest=t', {'torment'}),
    ('vuc-vmm -s /tmp/vucd/vmm.sock -d n', {'net.0'}),
    ('vuc-vmm --device ', DEVICES),
    ('vuc-refdev ', {FILES}),
    ('vuc-refdev one.sock two', {FILES}),
    ('vuc-refdev --mode=p', {'poll'}),
    ('vuc-refdev --mode p', {'poll'}),
    ('vuc-refdev --fault=del', {'delay=', 'nospace'}),
    ('vuc-refdev --fault=delay=', set()),
    ('vuc-refdev --fault=delay=5@region_read', set()),
    ('vuc-bench sc', {'scale'}),
    ('vuc-bench hop --floor=', {'echo', 'ring', 'poller'}),
    ('vuc-bench mmio --json=', {FILES}),
]


def check_page(tap, program, page, all_options):
    tap.check(f'{program.name}: the man page has the commands',
              differences(program.name, program.leaves, page.commands))
    tap.check(f'{program.name}: the man page has the options',
              [line for path, options in program.options.items()
               for line in differences(path, options, page.options(path))])
    tap.check(f'{program.name}: the man page speaks of no other options',
              differences(program.name, page.mentioned & all_options, page.mentioned))


def options_completed(program, script):
    return [line for path, options in program.options.items()
            for line in differences(path, {option.long for option in options},
                                    complete(script, f'{path} --'))]


def commands_completed(program, script):
    return [line for path, commands in program.commands.items() if commands
            for line in differences(path, set(commands), complete(script, f'{path} '))]


def forms_completed(program, script):
    """All names of an option have to complete alike, and so has a = before the value."""
    problems = []
    for path, option in program.all_options():
        wanted = complete(script, f'{path} {option.long} ')
        forms = [name + ' ' for name in option.names]
        if option.takes_value:
            forms.append(option.long + '=')
        for form in forms:
            problems += differences(f'{path} {form}', wanted, complete(script, f'{path} {form}'))
    return problems


def values_completed(program, page, script):
    """Of an option whose words the man page lists, those have to be offered."""
    problems = []
    for path, option in program.all_options():
        wanted = page.values(path, option.long)
        if wanted:
            line = f'{path} {option.long} '
            problems += differences(line, wanted, complete(script, line))
    return problems


def values_accepted(program, script):
    """What is offered has to be accepted, and what is not in a list refused."""
    problems = []
    for path, option in program.all_options():
        offered = complete(script, f'{path} {option.long} ') - {FILES, 'nospace', *DEVICES}
        if not option.takes_value or not offered:
            continue
        for value in offered:
            value += '16' if value.endswith('=') else ''
            if program.run(path, f'{option.long}={value}', '--help').returncode != 0:
                problems.append(f'{path} {option.long}={value} is refused')
        if program.run(path, f'{option.long}=no-such-value', '--help').returncode != 2:
            problems.append(f'{path} {option.long}=no-such-value is not refused')
    return problems


def check_completion(tap, program, page, script):
    name = program.name
    tap.check(f'{name}: options complete', options_completed(program, script))
    tap.check(f'{name}: commands complete', commands_completed(program, script))
    tap.check(f'{name}: all forms of an option complete alike', forms_completed(program, script))
    tap.check(f'{name}: values complete', values_completed(program, page, script))
    tap.check(f'{name}: values that complete are accepted', values_accepted(program, script))


def check_lines(tap, script, names):
    for line, wanted in LINES:
        if pathlib.PurePath(line.split()[0]).name in names:
            tap.check(f'completes "{line}"', differences(line, wanted, complete(script, line)))
    line = 'vuc-refdev --mode=p'
    tap.check(f'completes "{line}" where = breaks no word',
              differences(line, {'--mode=poll'}, complete(script, line, str.split)))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--pages', required=True, type=pathlib.Path, help='folder of the man pages')
    parser.add_argument('--completion', required=True, help='completion for bash')
    parser.add_argument('programs', nargs='+', metavar='NAME SECTION EXECUTABLE')
    args = parser.parse_args()

    if shutil.which('bash') is None:
        print('1..0 # SKIP bash is not installed')
        return 0
    names, sections, executables = (args.programs[i::3] for i in range(3))
    programs = list(map(Program, executables, names))
    all_options = {option.long for program in programs for _, option in program.all_options()}
    tap = Tap()
    for program, section in zip(programs, sections):
        source = args.pages / f'{program.name}.{section}.scd'
        page = Page(source.read_text(encoding='utf-8'), program.name)
        check_page(tap, program, page, all_options)
        check_completion(tap, program, page, args.completion)
    check_lines(tap, args.completion, names)
    return tap.finish()


if __name__ == '__main__':
    sys.exit(main())
