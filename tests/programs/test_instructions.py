# SPDX-License-Identifier: BSD-3-Clause
"""What an inline read of 4 bytes costs the client: instructions of libvuc in user space, counted by
callgrind, so that the test tells the same on any machine. What the C library takes for a send and a
receive is left out: it differs from release to release."""

import os
import re
import shutil

import pytest

import rig

# The bounds are 10 % above what gcc 12 makes of the code for x86-64, as ./quickstart builds it
# (release with link-time optimisation), and, in the second column, without link-time optimisation.
BOUNDS = {'posix': (480, 575), 'uring': (485, 580)}

# Why the build is not one that the bounds are made for; '' if it is. And whether it has LTO.
NOT_COUNTED = os.environ.get('VUC_TEST_NOT_COUNTED')
HAS_LTO = os.environ.get('VUC_TEST_LTO') == 'true'


def instructions_of(profile, library):
    """Sum up what callgrind's profile has for a library itself, what it calls left out."""
    names, total, within, is_call = {}, 0, False, False
    with open(profile, encoding='utf-8') as lines:
        for line in lines:
            place = re.match(r'ob=\((\d+)\)(?: (.*))?$', line)
            if place:
                name = names.setdefault(place[1], place[2])
                within = os.path.realpath(name) == os.path.realpath(library)
            elif line.startswith('cob='):
                place = re.match(r'cob=\((\d+)\)(?: (.*))?$', line)
                names.setdefault(place[1], place[2])
            elif line.startswith('calls='):
                is_call = True  # the next line has what the callee took
            elif re.match(r'[+*\d-]', line):
                if within and not is_call:
                    total += int(line.split()[-1])
                is_call = False
    return total


@pytest.mark.skipif(bool(NOT_COUNTED), reason=f'{NOT_COUNTED}')
@pytest.mark.skipif(not shutil.which('valgrind'), reason='valgrind is not installed')
@pytest.mark.parametrize('transport', BOUNDS)
def test_inline_read(folder, refdev, transport):
    profile = f'{folder}/profile'
    run = rig.Run('valgrind', '--tool=callgrind', f'--callgrind-out-file={profile}',
                  '--toggle-collect=counted_reads', os.environ['VUC_TEST_READS'],
                  refdev('--mode=poll').socket, transport)
    if run.status == 1 and 'io_uring' in run.err:
        pytest.skip(run.err.splitlines()[-1])
    assert run.status == 0, run.err
    count = instructions_of(profile, os.environ['VUC_LIBRARY']) / int(run.out)
    assert 200 < count <= BOUNDS[transport][0 if HAS_LTO else 1]
