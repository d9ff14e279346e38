# SPDX-License-Identifier: BSD-3-Clause
"""The rig itself: what it waits for, and that it leaves no process behind."""

import os
import signal
import sys

import rig

# Says its parent's and its own number, and is never done.
STUBBORN = '''
import os, signal, sys
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print(os.getpid(), flush=True)
signal.pause()
'''

# A test of each kind.
TESTS = '''
import pytest
def test_good(): assert True
@pytest.mark.parametrize('value', [1, 2])
def test_bad(value): assert value == 1
def test_idle(): pass
def test_skipped(): pytest.skip('a reason')
'''


def test_tap(folder):
    here = os.path.dirname(rig.__file__)
    for name in os.listdir(here):
        if not name.startswith('test_'):
            os.symlink(f'{here}/{name}', f'{folder}/{name}')
    with open(f'{folder}/test_all.py', 'w', encoding='utf-8') as file:
        file.write(TESTS)
    run = rig.Run(sys.executable, f'{here}/run.py', f'{folder}/test_all.py')
    assert run.status == 1
    assert [line for line in run.out.splitlines() if line[0] != '#'] == [
        '1..5', 'ok 1 - good', 'ok 2 - bad[1]', 'not ok 3 - bad[2]', 'not ok 4 - idle',
        'ok 5 - skipped # SKIP a reason']


def test_output_and_status():
    run = rig.Run('/bin/sh', '-c', 'echo out; echo err >&2; exit 3')
    assert (run.status, run.out, run.err) == (3, 'out\n', 'err\n')


def test_much_output():
    run = rig.Run('/bin/sh', '-c', 'head -c 3000000 /dev/zero')
    assert len(run.out) == 3000000


def test_terminal(start):
    process = start('/bin/sh', '-c', 'stty size; test -t 0 && test -t 1 && test -t 2', tty=(12, 34))
    assert process.wait() == 0
    assert process.out == b'12 34\r\n'


def test_signal(start):
    process = start(sys.executable, '-c', STUBBORN)
    process.await_output('\n')
    assert process.stop(signal.SIGKILL) == -signal.SIGKILL


def test_no_ignored_signals(start):
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    process = start('/bin/sh', '-c', 'echo; exec sleep 60')
    signal.signal(signal.SIGHUP, before)
    process.await_output('\n')
    assert process.stop(signal.SIGHUP) == -signal.SIGHUP


def test_none_left_when_the_test_is_killed(start):
    """Who starts the stubborn program is killed, and cannot clean up."""
    killed = start(sys.executable, '-c', f'import rig\n'
                   f'process = rig.Process({sys.executable!r}, "-c", {STUBBORN!r})\n'
                   f'process.await_output("\\n")\n'
                   f'print(process.out.decode(), end="", flush=True)\n'
                   f'process.wait()',
                   env={'PYTHONPATH': os.path.dirname(rig.__file__)})
    killed.await_output('\n')
    pidfd = os.pidfd_open(int(killed.out))
    killed.stop(signal.SIGKILL)
    assert rig.select.select([pidfd], [], [], rig.TIMEOUT_S)[0]
    os.close(pidfd)


def test_refdev(refdev):
    device = refdev()
    assert rig.vucctl('read', device.socket, 'bar0', '0', '4').out.startswith('0x')
    assert device.stop() == 0


def test_vucd(refdev, vucd):
    device = refdev()
    daemon = vucd(f'[device d0]\nsocket = {device.socket}\n')
    daemon.await_state('d0', 'free')
    assert rig.vucctl('devices', '-m', daemon.management).status == 0
    assert daemon.ask('nothing')['error']['code'] == -32601
    assert daemon.stop() == 0
