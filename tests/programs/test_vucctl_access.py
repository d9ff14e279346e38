# SPDX-License-Identifier: BSD-3-Clause
"""vucctl read, write, reset and dma-selftest, and the trace of what they send."""

import os
import re
import subprocess

import pytest

import rig


DEVICE = pytest.fixture(rig.reference_device, name='device', scope='module')


def read(device, *args, **popen):
    run = rig.vucctl('read', device.socket, *args, **popen)
    assert run.err == ''
    return run.out


def write(device, *args, **popen):
    run = rig.vucctl('write', device.socket, *args, **popen)
    assert (run.out, run.err) == ('', '')


@pytest.mark.parametrize('region,offset,size,out', [
    ('bar0', '0', '4', '0x52637576\n'), ('BAR0', '0x0', '1', '0x76\n'), ('0', '2', '2', '0x5263\n'),
    ('bar0', '0', '8', '0x0000000152637576\n'), ('config', '0x90', '3', '90: 09 00 10\n'),
    ('7', '0x92', '18',
     '92: 10 01 76 75 63 52 00 00 00 00 00 00 00 00 00 00\na2: 00 00\n')])
def test_read(device, region, offset, size, out):
    assert read(device, region, offset, size) == out


def test_equal_rows(device):
    rows = read(device, 'bar0', '0x600', '0x30').splitlines()
    assert rows == ['600:' + ' 00' * 16, '*']


def test_count(device):
    values = [int(line, 16) for line in read(device, 'bar0', '0x10', '8', '--count=3').split()]
    assert values == [values[0], values[0] + 1, values[0] + 2]


@pytest.mark.parametrize('offset,size,value', [('0', '4', '0x52637576'), ('0x7fd', '3', '000000')])
def test_json(device, offset, size, value):
    root = rig.vucctl('read', '-j', '-c2', device.socket, 'bar0', offset, size).json()
    assert root == {'socket': device.socket, 'region': 0, 'name': 'BAR0',
                    'offset': int(offset, 0), 'size': int(size), 'values': [value, value]}


def test_write(device):
    for offset, size, value, back in [('8', '8', '0x1122334455667788', '0x1122334455667788\n'),
                                      ('8', '1', '255', '0x11223344556677ff\n')]:
        write(device, 'bar0', offset, size, value)
        assert read(device, 'bar0', '8', '8') == back
    write(device, 'bar0', '0x400', '3', '0x010203')
    assert read(device, 'bar0', '0x400', '4') == '0x00010203\n'


def test_write_posted(device):
    write(device, '--posted', 'bar0', '0x18', '4', '0xabcd')
    assert read(device, 'bar0', '0x1c', '4') == '0x0000abcd\n'


@pytest.mark.parametrize('digits', ['01abff', '01ABfF', '01:ab:ff', '01 ab ff', '01:abff'])
def test_write_data(device, digits):
    write(device, 'bar0', '0x500', '3', '0')
    write(device, '--data', digits, 'bar0', '0x500')
    assert read(device, 'bar0', '0x500', '3') == '500: 01 ab ff\n'


@pytest.mark.parametrize('stdin', [False, True])
def test_write_file(device, folder, stdin):
    data = bytes((i * 7 + i // 256) & 0xff for i in range(65536))
    with open(f'{folder}/data', 'wb') as file:
        file.write(data)
    with open(f'{folder}/data', 'rb') as file:
        write(device, '--file', '-' if stdin else file.name, 'bar2', '0', stdin=file)
    with rig.Process(os.environ['VUCCTL'], 'read', '-r', device.socket, 'bar2', '0',
                     '65536') as process:
        assert process.wait() == 0
        assert process.out == data


def test_reset(device):
    write(device, 'bar0', '8', '8', '1')
    assert rig.vucctl('reset', device.socket).out == ''
    assert read(device, 'bar0', '8', '8') == '0x0000000000000000\n'
    assert read(device, 'bar0', '0x30', '4') == '0x00000001\n'


def test_trace(device):
    run = rig.Run(os.environ['VUCCTL'], 'read', '--trace', '--transport=posix', device.socket,
                  'bar0', '0', '4')
    assert (run.status, run.out) == (0, '0x52637576\n')
    for text in (' -> #0     VERSION                  command ',
                 ' flags (reset pci) num_regions 9 num_irqs 5\n',
                 ' REGION_READ              command     32 bytes region 0 offset 0x0 count 4\n',
                 ' REGION_READ              reply       36 bytes region 0 offset 0x0 count 4 data '
                 '0x52637576\n'):
        assert text in run.err
    assert re.match(r' +0\.\d{6} ', run.err)


@pytest.mark.parametrize('args,text', [
    (['read', 'S', 'bar1', '0', '4'], 'the device has no BAR1'),
    (['read', 'S', '77', '0', '4'], 'the device has no region 77'),
    (['read', 'S', '4294967295', '0', '4'], 'the device has no region 4294967295'),
    (['read', 'S', 'Vga', '0', '4'], 'the device has no VGA'),
    (['read', 'S', 'rom', '0', '4'], 'the device has no ROM'),
    (['read', 'S', 'bar0', '0xffd', '4'], '4 bytes at 0xffd are outside of BAR0'),
    (['read', 'S', 'bar0', '0xffffffffffffffff', '1'], 'outside of BAR0'),
    (['read', 'S', 'bar0', '0', '0xffffffffffffffff'], 'outside of BAR0'),
    (['read', 'S', 'bar0', '0x38', '4'], 'cannot read 4 bytes at 0x38 of BAR0'),
    (['write', 'S', 'bar0', '0x38', '4', '1'], 'cannot write 4 bytes at 0x38 of BAR0'),
    (['write', '-f/nonexistent/f', 'S', 'bar0', '0'], '/nonexistent/f: '),
    (['write', '-f/dev/null', 'S', 'bar0', '0'], 'no bytes to write'),
    (['write', '-f-', 'S', 'bar0', '0'], 'standard input: there are no bytes'),
    (['dma-selftest', '-s4096', 'S'], 'size 4096 is not a multiple of 32768')])
def test_failures(device, args, text):
    run = rig.vucctl(*[device.socket if arg == 'S' else arg for arg in args], status=1)
    assert text in run.err
    assert run.out == ''


@pytest.mark.parametrize('fault,command,text', [
    ('close@region_read', 'read', 'closed the connection'),
    ('never@region_read#7', 'read', 'within 2000 ms'),
    ('error=5@device_reset', 'reset', 'cannot reset the device'),
    ('never@device_reset', 'reset', 'within 2000 ms')])
def test_faults(refdev, fault, command, text):
    device = refdev(f'--fault={fault}')
    access = ['bar0', '0', '4'] if command == 'read' else []
    assert text in rig.vucctl(command, '--timeout=2000', device.socket, *access, status=1).err


# ---- dma-selftest ----

def results(run):
    words = [line.split()[0] for line in run.out.splitlines()]
    return [words.count(word) for word in ('PASS', 'FAIL', 'SKIP')]


@pytest.mark.parametrize('options,expected', [
    ([], [14, 0, 0]), (['--policy=shared', '--transport=posix'], [14, 0, 0]),
    (['--policy=message'], [12, 0, 2]), (['--size=32768'], [14, 0, 0]),
    (['--size=0x1000000', '--policy=message'], [12, 0, 2])])
def test_selftest(device, options, expected):
    run = rig.vucctl('dma-selftest', device.socket, *options)
    assert run.err == ''
    assert results(run) == expected


def test_selftest_foreign(refdev):
    """A device that cannot be told to perform DMA, for its ids cannot be read."""
    run = rig.vucctl('dma-selftest', refdev('--fault=error=5@region_read').socket)
    assert results(run) == [8, 0, 6]
    assert run.out.count(': only vuc-refdev can be told to perform DMA\n') == 6


def test_selftest_json(device):
    root = rig.vucctl('dma-selftest', '-j', '--policy=message', device.socket).json()
    assert len(root['steps']) == 14
    assert {key: root[key] for key in ('socket', 'policy', 'size', 'refdev', 'failed')} == {
        'socket': device.socket, 'policy': 'message', 'size': 1 << 20, 'refdev': True, 'failed': 0}
    assert root['steps'][0] == {'name': 'one mapping', 'result': 'PASS', 'reason': None}
    assert [step['result'] for step in root['steps']].count('SKIP') == 2


@pytest.mark.parametrize('fault,failed,text', [
    ('error=22@dma_map', 14, '14 of 14 steps failed'),
    ('close@dma_map#2', 1, 'gave up after 2 steps'),
    ('never@dma_unmap', 1, 'gave up after 1 steps')])
def test_selftest_failures(refdev, fault, failed, text):
    device = refdev(f'--fault={fault}')
    run = rig.vucctl('dma-selftest', '--timeout=2000', device.socket, status=1)
    assert results(run)[1] == failed
    assert text in run.err


# ---- output that cannot be written ----

@pytest.mark.parametrize('option', [[], ['--json']])
@pytest.mark.parametrize('command', [['probe', 'S'], ['read', 'S', 'bar0', '0', '4']])
def test_disk_full(device, command, option):
    with open('/dev/full', 'wb') as full, rig.Process(
            os.environ['VUCCTL'], *[device.socket if arg == 'S' else arg for arg in command],
            *option, stdout=full) as process:
        assert process.wait() == 1
        assert process.err.startswith(b'vucctl: cannot write the output')
        assert process.err.count(b'\n') == 1


@pytest.mark.parametrize('option', [[], ['--verbose']])
def test_reader_gone(device, option):
    reader, writer = os.pipe()
    os.close(reader)
    with rig.Process(os.environ['VUCCTL'], 'probe', device.socket, *option,
                     stdout=writer) as process:
        assert process.wait() == 1
        assert process.err.startswith(b'vucctl: cannot write the output')
    os.close(writer)


def test_closed_stdout(device):
    run = rig.Run('/bin/sh', '-c', '"$0" probe "$1" >&-', os.environ['VUCCTL'], device.socket)
    assert run.status == 1
    assert run.err.startswith('vucctl: cannot write the output')


def test_no_standard_fds(refdev):
    """Started without any standard descriptors, it must not talk to the server by printf()."""
    device = refdev()
    run = rig.Run('/bin/sh', '-c', 'exec "$0" probe "$1" <&- >&- 2>&-', os.environ['VUCCTL'],
                  device.socket, stdout=subprocess.DEVNULL)
    assert run.status == 1
    assert device.stop() == 0
    assert device.err == b''
