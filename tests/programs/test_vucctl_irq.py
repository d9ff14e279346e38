# SPDX-License-Identifier: BSD-3-Clause
"""vucctl irq: wait, mask, unmask, trigger."""

import json
import os
import re

import pytest

import rig


DEVICE = pytest.fixture(rig.reference_device, name='device', scope='module')


def wait(device, *options):
    run = rig.vucctl('irq', 'wait', '--trigger', '--wait=5000', device.socket, *options)
    assert run.err == ''
    return run.out.splitlines()


@pytest.mark.parametrize('options,lines,text', [
    (['--count=8'], 8, '  MSI-X vector '), (['--count=2', '--vector=3-4'], 2, '  count 1'),
    (['--vector=7'], 1, '  MSI-X vector 7  count 1'),
    (['--index=MSI-X', '-v1'], 1, '  MSI-X vector 1  count 1'),
    (['--index=intx'], 1, '  INTx  vector 0  count 1'),
    (['--index=err', '--count=1'], 1, '  ERR   vector 0  count 1'),
    (['--index=4'], 1, '  REQ   vector 0  count 1')])
def test_wait(device, options, lines, text):
    out = wait(device, *options)
    assert len(out) == lines
    assert all(text in line and re.match(r' +0\.\d{6} ', line) for line in out)


def test_json(device):
    out = rig.vucctl('irq', 'wait', '-jg', '-w5000', '-c2', '-v5-6', device.socket).out
    for vector, line in zip((5, 6), out.splitlines(), strict=True):
        event = json.loads(line)
        assert event.pop('time_ns') > 0
        assert event == {'index': 2, 'name': 'MSI-X', 'vector': vector, 'count': 1}


def test_unmasked_again(device):
    """INTx is a level that nobody acknowledges: unmasked it comes again."""
    rig.vucctl('write', device.socket, 'bar0', '0x2c', '4', '1')
    assert len(wait(device, '--index=intx', '--count=3')) == 3
    rig.vucctl('write', device.socket, 'bar0', '0x2c', '4', '0')


def test_time_is_over(device):
    run = rig.vucctl('irq', 'wait', '--wait=50', device.socket, status=1)
    assert '0 of 1 interrupts occurred before the timeout' in run.err
    assert rig.vucctl('irq', 'wait', '--wait=50', '--count=0', device.socket).out == ''


def start_wait(start, device):
    process = start(os.environ['VUCCTL'], 'irq', 'wait', '--count=0', '--trigger', '--vector=1',
                    device.socket)
    process.await_output('\n')
    return process


def test_signal(start, device):
    """Told to end, it ends well, and the server sees a client that has left in order."""
    process = start_wait(start, device)
    assert process.stop() == 0
    assert process.err == b''


def test_server_dies(start, refdev):
    device = refdev()
    process = start_wait(start, device)
    assert device.stop() == 0
    assert process.wait() == 1
    assert b'closed the connection' in process.err


@pytest.mark.parametrize('verb', ['mask', 'unmask', 'trigger'])
def test_acts(device, verb):
    for options in ([], ['-imsix', '-v1']):
        run = rig.vucctl('irq', verb, *options, device.socket)
        assert (run.out, run.err) == ('', '')


def test_trace(device):
    run = rig.Run(os.environ['VUCCTL'], 'irq', 'mask', '--trace', '-v2-3', device.socket)
    assert run.status == 0
    assert ' argsz 20 flags (none mask) index 2 start 2 count 2\n' in run.err


@pytest.mark.parametrize('args,text', [
    (['wait', '-v8'], 'there is no vector 8, MSI-X has 8'),
    (['wait', '-imsi'], 'the device has no MSI interrupt'),
    (['mask', '-i9'], 'the device has no interrupts of index 9'),
    (['mask', '-ireq'], 'cannot mask REQ')])
def test_errors(device, args, text):
    assert text in rig.vucctl('irq', *args, device.socket, status=1).err
