# SPDX-License-Identifier: BSD-3-Clause
"""What bash would offer for a command line."""

import re
import subprocess

# compopt works only while bash completes: what it was asked for is printed instead. Devices are not
# those of a daemon that there may be.
SCRIPT = r'''
compopt() {
	printf '%s\n' "$2"
}
vucctl() {
	printf '%s\n' 'NAME   STATE' 'disk0  free' 'net.0  away' '' 'net.0: no such file'
}
. "$1" || exit
shift
COMP_WORDS=("$@")
COMP_CWORD=$(($# - 1))
[[ $(complete -p "${1##*/}") =~ -F\ ([^\ ]+) ]] || exit
"${BASH_REMATCH[1]}" "$1" "${!#}" "${@:$#-1:1}" || exit
printf '%s\n' "${COMPREPLY[@]}"
'''
FILES = 'default'  # by compopt -o default
DEVICES = {'disk0', 'net.0'}
BREAKS = re.compile('([=:@]+)')


def bash_words(line):
    """Cut a line as bash does: at blanks, and at some other characters."""
    words = []
    for word in line.split(' '):
        words += [part for part in BREAKS.split(word) if part]
        if word == '':
            words.append('')
    return words


def complete(script, line, cut=bash_words):
    """Return the set of what is offered at the end of a line: words, FILES, and 'nospace'."""
    command = ['bash', '--norc', '--noprofile', '-c', SCRIPT, 'bash', script, *cut(line)]
    run = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                         timeout=60, check=False)
    if run.returncode != 0 or run.stderr:
        return {f'exit status {run.returncode}: {run.stderr.strip()}'}
    return set(run.stdout.split('\n')) - {''}
