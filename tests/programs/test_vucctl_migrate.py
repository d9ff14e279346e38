# SPDX-License-Identifier: BSD-3-Clause
"""vucctl migrate: a state that is saved from one device and loaded into another."""

import os
import re
import signal

import pytest

import rig

RUNNING = b' MIG_DEVICE_STATE state 2 RUNNING\n'


@pytest.fixture(name='source')
def fixture_source(refdev):
    yield refdev()


@pytest.fixture(name='destination')
def fixture_destination(refdev):
    yield refdev()


@pytest.fixture(name='path')
def fixture_path(folder):
    yield f'{folder}/state'
    # Nothing is left behind.
    assert set(os.listdir(folder)) <= {'state'}


def scratch(device, value=None):
    if value is None:
        return int(rig.vucctl('read', device.socket, 'bar0', '8', '8').out, 16)
    return rig.vucctl('write', device.socket, 'bar0', '8', '8', value).out


def migrate(verb, device, path, *options):
    run = rig.vucctl('migrate', verb, device.socket, path, *options)
    assert run.err == ''
    return run.out


def check_running(device, path):
    run = rig.Run(os.environ['VUCCTL'], 'migrate', 'save', '--trace', '--run', device.socket, path)
    assert run.status == 0
    assert RUNNING in run.err.encode()


def test_save_and_load(source, destination, path):
    scratch(source, 0x1234567890abcdef)
    out = migrate('save', source, path)
    assert re.fullmatch(r'saved .* to .* in [0-9.]+ ms; the device is stopped\n', out)
    assert os.stat(path).st_size > 65536  # it has BAR2 in it
    assert os.stat(path).st_mode & 0o777 == 0o600
    out = migrate('load', destination, path)
    assert re.fullmatch(r'loaded .* from .* in [0-9.]+ ms; the device runs\n', out)
    assert scratch(destination) == 0x1234567890abcdef


def test_precopy(source, destination, path):
    scratch(source, 0x77)
    assert ' round' in migrate('save', source, path, '--precopy')
    assert migrate('load', destination, path, '--no-run').endswith('; the device is stopped\n')
    assert scratch(destination) == 0x77


def test_run(source, destination, path):
    assert migrate('save', source, path, '--run').endswith('; the device runs\n')
    assert migrate('save', source, path, '--no-run').endswith('; the device is stopped\n')
    assert migrate('load', destination, path, '-n', '-r').endswith('; the device runs\n')


def test_chunks(source, destination, path):
    """The server sees no larger message, and the state is the same."""
    run = rig.Run(os.environ['VUCCTL'], 'migrate', 'save', '--trace', '--chunk=0x2000',
                  source.socket, path)
    assert run.status == 0
    assert ' argsz 8200 size 8192\n' in run.err
    assert migrate('load', destination, path, '--chunk=1000').startswith('loaded ')


def test_json(source, destination, path):
    saved = rig.vucctl('migrate', 'save', '--json', source.socket, path).json()
    loaded = rig.vucctl('migrate', 'load', '-jn', destination.socket, path).json()
    size = os.stat(path).st_size
    assert saved.pop('time_ns') > 0 and loaded.pop('time_ns') > 0
    assert saved == {'socket': source.socket, 'file': path, 'bytes': size, 'pre_copy_rounds': 0,
                     'pre_copy_bytes': 0, 'stop_copy_bytes': size, 'running': False}
    assert loaded == {'socket': destination.socket, 'file': path, 'bytes': size, 'running': False}


def test_pipe(source, destination):
    scratch(source, 0x55aa)
    run = rig.Run('/bin/sh', '-c', '"$0" migrate save "$1" - | "$0" migrate load "$2" -',
                  os.environ['VUCCTL'], source.socket, destination.socket)
    assert (run.status, run.err) == (0, '')
    assert run.out.startswith('loaded ') and run.out.count('\n') == 1
    assert scratch(destination) == 0x55aa


def test_failed_save_keeps_file(refdev, path):
    """What was there before stays when the new state does not come to its end."""
    with open(path, 'w', encoding='utf-8') as file:
        file.write('precious')
    bad = refdev('--fault=error=5@mig_data_read#1')
    run = rig.vucctl('migrate', 'save', '--timeout=2000', bad.socket, path, status=1)
    assert 'cannot save the state' in run.err
    with open(path, encoding='utf-8') as file:
        assert file.read() == 'precious'


def test_symbolic_link(source, path, folder):
    """A link is followed, to a file that is written in place."""
    with open(path, 'wb'):
        pass
    os.symlink(path, f'{folder}/link')
    migrate('save', source, f'{folder}/link')
    assert os.path.islink(f'{folder}/link') and os.stat(path).st_size > 65536
    os.unlink(f'{folder}/link')


def test_disk_full(source, path):
    """A device whose state got nowhere goes on running."""
    run = rig.vucctl('migrate', 'save', source.socket, '/dev/full', status=1)
    assert 'cannot save the state' in run.err
    check_running(source, path)


def end_by_signal(process, number, text):
    """One signal ends it: in order, with one line at the end."""
    process.process.send_signal(number)
    assert process.wait() == 1
    line = process.err[process.err.index(b'vucctl: '):].decode()
    assert text in line and line.count('\n') == 1


@pytest.mark.parametrize('number,data', [
    (signal.SIGTERM, b''), (signal.SIGINT, b'abcd'), (signal.SIGHUP, b'abcdef')])
def test_load_signal(start, destination, number, data):
    """From a pipe into which nobody writes any more: before the first byte, and after some."""
    reader, writer = os.pipe()
    process = start(os.environ['VUCCTL'], 'migrate', 'load', '--trace', '--chunk=4',
                    destination.socket, '-', stdin=reader)
    os.write(writer, data)
    process.await_output('MIG_DATA_WRITE           reply' if data else 'state 4 RESUMING', 'err')
    end_by_signal(process, number, 'cannot load the state after a signal')
    assert rig.vucctl('reset', destination.socket).status == 0
    os.close(reader)
    os.close(writer)


def test_save_signal(start, source, path):
    """To a pipe that nobody reads: the device goes on as before."""
    reader, writer = os.pipe()
    process = start(os.environ['VUCCTL'], 'migrate', 'save', source.socket, '-', stdout=writer)
    assert rig.select.select([reader], [], [], rig.TIMEOUT_S)[0]
    end_by_signal(process, signal.SIGTERM, 'cannot save the state after a signal')
    os.close(reader)
    os.close(writer)
    check_running(source, path)


def test_truncated_state(source, destination, path):
    migrate('save', source, path)
    os.truncate(path, 100)
    run = rig.vucctl('migrate', 'load', destination.socket, path, status=1)
    assert 'cannot load the state' in run.err
    assert rig.vucctl('reset', destination.socket).status == 0


@pytest.mark.parametrize('verb,text', [('load', 'cannot read /nonexistent/f'),
                                       ('save', 'cannot write /nonexistent/f')])
def test_no_file(source, verb, text):
    assert text in rig.vucctl('migrate', verb, source.socket, '/nonexistent/f', status=1).err


def test_progress(start, refdev, path):
    """On a terminal, a line that grows and is wiped; a file has a bar."""
    slow = refdev('--fault=delay=20')
    with open(path, 'wb') as out:
        process = start(os.environ['VUCCTL'], 'migrate', 'save', '--precopy', '--chunk=4096',
                        slow.socket, path, tty=(24, 80))
        assert process.wait() == 0
    assert re.search(rb'\r\x1b\[K(PRE|STOP)_COPY( round \d+)?  [\d.]+ (bytes|KiB)  [\d.]+ \w+/s',
                     process.out)
    assert out.closed
    process = start(os.environ['VUCCTL'], 'migrate', 'load', '--chunk=4096', slow.socket, path,
                    tty=(24, 80))
    assert process.wait() == 0
    assert re.search(rb'\r\x1b\[K\[#* *\]  +\d+%  RESUMING  [\d.]+ \w+  [\d.]+ \w+/s', process.out)
    assert b'\r\x1b[Kloaded ' in process.out
