# SPDX-License-Identifier: BSD-3-Clause
"""A VMM keeps its device while the server behind it is killed, stopped and started again."""

import os
import re
import signal

import pytest

import rig
from fake_device import FakeDevice
from outage_rig import HOUR, ROUNDS, Leaks, Storm, device


def test_killed_and_attached_again(server, vucd, storm):
    """Without a hold, the VMM detaches and attaches again."""
    target = server()
    daemon = vucd(device(target, 'outage = fail\n'))
    daemon.await_state('disk0', 'free')
    vmm = storm(daemon, 'disk0')
    leaks = Leaks()
    vmm.ok('run', 'check 1')
    for number in range(ROUNDS):
        vmm.ok('rounds 1')
        target.kill()
        vmm.ok(f'await lost {number + 1}', 'pause')
        target.start()
        vmm.ok(f'await stale {number + 1}', 'again', 'run', 'check 1')
        leaks.look(number, vucd=daemon.pid, vmm=vmm.pid)
    print(vmm.has_been_right('ECONNRESET', 'ENOTCONN', 'ECANCELED'))
    vmm.detach()
    assert daemon.stop() == 0


HOLD = 'outage = hold\n'
FOREVER = 'hold-ms = 3600000\n'
AT_ONCE = 'hold-ms = 1\n'


def counters(daemon, name='disk0'):
    return daemon.do('stats.get', device=name)['devices'][0]


def row(daemon, name='disk0'):
    """What is said of a device."""
    return next(row for row in daemon.do('devices.list')['devices'] if row['name'] == name)


@pytest.fixture(name='held')
def fixture_held(server, vucd, storm):
    """A server, a daemon that keeps the device for its VMM, and that VMM: held(config)."""
    def start(more='', *options):
        target = server(*options)
        daemon = vucd(device(target, HOLD + more))
        return target, daemon, storm(daemon, 'disk0')
    return start


def test_silent_at_first(server, vucd):
    """A server that does not answer when config space is read for the record is away."""
    daemon = vucd(device(server('--fault=drop@region_read'), HOLD + 'timeout-ms = 300\n'))
    for reason in ('connected, waiting for the answer to a read of config space',
                   'no answer to a read of config space within 300 ms'):
        rig.eventually(lambda reason=reason: row(daemon)['reason'] == reason)
    assert row(daemon)['state'] == 'away'


def test_silent_in_the_end(server, vucd, vmm):
    """One that does not answer it after its VMM has left is connected to again, for `vucctl detach`
    within a second."""
    target = server('--fault=drop@region_read#90')
    daemon = vucd(device(target, HOLD + HOUR + 'reset = trust\n'))
    daemon.await_state('disk0', 'free')
    client = vmm(daemon, 'disk0')
    with rig.Process(os.environ['VUCCTL'], 'detach', 'disk0', '-m', daemon.management) as detach:
        daemon.await_output('waiting for VMM', 'err')
        client.process.kill()
        assert detach.wait() == 0
    daemon.await_state('disk0', 'free')
    assert row(daemon)['generation'] == 2
    assert daemon.stop() == 0


@pytest.mark.parametrize('way', ['killed', 'unlinked', 'twice'])
def test_restarted(held, way):
    """The VMM goes on: mappings, interrupts and registers are there after each return, and no call
    fails, for none is held up for an hour."""
    target, daemon, vmm = held(FOREVER)
    leaks = Leaks()
    vmm.ok('run')
    for number in range(ROUNDS):
        vmm.ok('rounds 1')
        target.kill()
        if way == 'unlinked':
            os.unlink(target.socket)
        target.start()
        if way == 'twice':  # while it is being restored
            target.restart()
        vmm.ok(f'await reset {number + 1}', 'check 1')
        leaks.look(number, vucd=daemon.pid, vmm=vmm.pid)
    print('#', vmm.has_been_right(), counters(daemon))
    vmm.detach()
    assert daemon.stop() == 0


def test_signals(held):
    """Each interrupt that is assigned comes once after a return, but neither ERR nor REQ."""
    target, _, vmm = held(FOREVER)
    vmm.ok('signals')
    for number in range(3):
        target.restart()
        vmm.ok(f'await reset {number + 1}')
        vmm.ok('check 1')  # which takes what has come to those that it looks at
    vmm.ok('signals')
    target.restart()
    vmm.ok('await reset 4')
    signals = [0] * 11

    def all_have_come():
        nonlocal signals
        more = [int(word) for word in vmm.ok('signals').split()]
        signals = [a + b for a, b in zip(signals, more)]
        return signals == [1] * 9 + [0, 0]
    rig.eventually(all_have_come)
    vmm.ok('check 1')
    assert vmm.ok('signals') == '0 0 0 0 0 0 0 0 0 0 0'


STEPS = ['version', 'device_get_info', 'device_get_region_info', 'device_get_irq_info', 'region_read',
         'device_reset', 'region_write', 'dma_map', 'device_set_irqs']


@pytest.mark.parametrize('command', STEPS)
def test_dies_while_restored(held, command):
    """The new server closes the connection at the first such command of the restore; at the second
    one; and so on, up to the last one. The device is whole each time."""
    target, _, vmm = held(FOREVER)
    nth = returns = 0
    again = True
    while again:
        nth += 1
        returns += 1
        target.restart('--verbose', f'--fault=close@{command}#{nth}')
        vmm.ok(f'await reset {returns}')
        target.process.drain()
        again = target.process.err.count(b': version (') > 1
        if again:
            vmm.ok('check 1')
    print(f'# {nth - 1} steps')
    assert nth > 1
    vmm.has_been_right()


def test_lost_while_attaching(server, vucd, vmm):
    """A server that is lost before config space was read for the record is no other case. It could
    not be read at first, so it is read for the VMM."""
    target = server('--fault=error=5@region_read#7', '--fault=close@region_read#48')
    daemon = vucd(device(target, HOLD + FOREVER))
    client = vmm(daemon, 'disk0')
    client.ok('queue', 'back')
    assert client.do('get 8') == '0 0'
    assert client.do('config 0') == '0 1986229877'


@pytest.mark.parametrize('fault', [
    'error=5@dma_map#3', 'error=28@dma_map#16', 'error=5@device_set_irqs#1', 'error=5@device_reset#1'])
def test_refuses(held, fault):
    """A server that refuses something once is asked for all of it again: nothing is ever restored in
    part."""
    target, _, vmm = held(FOREVER)
    target.restart('--verbose', f'--fault={fault}')
    vmm.ok('await reset 1', 'check 1')
    target.process.drain()
    assert target.process.err.count(b': version (') == 2


@pytest.mark.parametrize('command', [
    'version', 'device_get_info', 'device_reset', 'region_write', 'dma_map', 'device_set_irqs'])
@pytest.mark.parametrize('end', ['detach', 'stop'])
def test_hangs_while_restored(held, command, end):
    """A server that may take an hour for an answer holds up nobody: what is done has not waited."""
    target, daemon, vmm = held(AT_ONCE + HOUR)
    target.restart('--verbose', f'--fault=never@{command}')
    assert target.process.await_event(lambda: f'{command} ('.encode() in target.process.err)
    vmm.ok('await lost 1', 'churn 20')
    assert vmm.do('check').startswith('-107 ')
    vmm.has_been_right()
    if end == 'detach':
        vmm.detach()
    assert daemon.stop() == 0


AFTER = {
    # policy: the ids in config space, and a register of BAR0 that was read before
    'auto': ('0 1986229877', '-107 0'),
    'last': ('0 1986229877', '0 5'),
    'ones': ('0 4294967295', '0 4294967295'),
    'error': ('-107 0', '-107 0'),
}


@pytest.mark.parametrize('policy', AFTER)
def test_after_hold(server, vucd, vmm, policy):
    """What reads get of a server that does not come back; and writes are dropped meanwhile."""
    target = server()
    daemon = vucd(device(target, f'{HOLD}{AT_ONCE}after-hold = {policy}\n'))
    client = vmm(daemon, 'disk0')
    client.ok('queue', 'set 8 5')
    assert client.do('get 8') == '0 5'
    assert client.do('config 0') == '0 1986229877'
    target.kill()
    client.ok('lost')
    assert (client.do('config 0'), client.do('get 8')) == AFTER[policy]
    dropped = '-107 ' if AFTER[policy][1].startswith('-107') else '0 '
    if dropped != '0 ':
        assert re.fullmatch('-107 a read of 4 bytes at 0x8 of region 0: '
                            r"the device's server is away, for \d+\.\d s", client.do('access 8'))
    assert client.do('set 8 6') == dropped
    assert counters(daemon)['dropped_writes'] == (1 if dropped == '0 ' else 0)
    target.start()
    client.ok('back')
    assert client.do('get 8') == '0 0'  # the device has been reset
    client.ok('access 8')
    assert client.do('config 0') == '0 1986229877'


def test_attach_while_away(server, vucd):
    target = server()
    daemon = vucd(device(target))
    daemon.await_state('disk0', 'free')
    target.kill()
    daemon.await_state('disk0', 'away')
    run = rig.Run(os.environ['VUC_TEST_VMM'], daemon.vmm_socket, 'disk0')
    assert re.fullmatch(r'-107 the server of device disk0 is away: .+ \(for \d+ s\)\n', run.out)


@pytest.mark.parametrize('config', [FOREVER, f'{AT_ONCE}after-hold = hold\n'])
def test_held(server, vucd, vmm, config):
    """A read waits until the server is back, and gets what it has then. Nobody else can have the
    device meanwhile."""
    target = server()
    daemon = vucd(device(target, HOLD + config))
    client = vmm(daemon, 'disk0')
    client.ok('queue', 'set 8 5')
    target.kill()
    client.ok('lost')
    client.send('get 8')
    rig.eventually(lambda: counters(daemon)['held_reads'] == 1)
    other = rig.Run(os.environ['VUC_TEST_VMM'], daemon.vmm_socket, 'disk0')
    assert other.out.split()[0] == '-16'
    assert row(daemon)['state'] == 'away'
    target.start()
    assert client.next_line() == '0 0'
    client.ok('back')
    assert counters(daemon)['outages'] == 1


def test_maps_while_away(held):
    """Mappings change while nobody has them; more than the last server has taken are refused."""
    target, _, vmm = held(FOREVER)
    target.kill()
    vmm.ok('await lost 1')
    assert vmm.do('map 0').startswith('-28 ')
    vmm.ok('churn 50')
    target.start()
    vmm.ok('await reset 1', 'check 1')


def test_beside(storm, server, vucd):
    """The VMM of another device on the same poller notices nothing."""
    target, other = server(), server()
    daemon = vucd(device(target, HOLD + FOREVER) + device(other, HOLD, 'disk1'))
    vmm, beside = storm(daemon, 'disk0'), storm(daemon, 'disk1')
    vmm.ok('run')
    beside.ok('run')
    for number in range(ROUNDS):
        target.kill()
        vmm.ok(f'await lost {number + 1}')
        beside.ok('rounds 10')
        target.start()
        vmm.ok(f'await reset {number + 1}', 'rounds 1')
    beside.ok('check 1')
    events = beside.has_been_right()['events']
    assert [name for name, nr in events.items() if nr > 0] == ['attached']
    assert counters(daemon, 'disk1')['outages'] == 0
    vmm.ok('check 1')
    vmm.has_been_right()


def test_vmm_killed_while_away(server, vucd):
    """The record is that of one VMM: nothing of it reaches the next one."""
    target = server()
    daemon = vucd(device(target, HOLD + FOREVER))
    for _ in range(ROUNDS):
        with Storm(daemon, 'disk0') as vmm:
            vmm.ok('check 1', 'churn 5')
            target.kill()
            vmm.ok('await lost 1')
            vmm.ok('run')  # into reads that are held
        target.start('--verbose')
        daemon.await_state('disk0', 'free')
        target.process.drain()
        assert b'dma_map' not in target.process.err
    assert daemon.stop() == 0


def test_stopped(held):
    """A stopped server has the VMM's memory as long as it lives: its successor does not get it
    before. What the VMM has sent, it does when it wakes up."""
    target, daemon, vmm = held(f'{FOREVER}timeout-ms = 200\nlong-timeout-ms = 200\n')
    for number in range(min(ROUNDS, 20)):
        target.signal(signal.SIGSTOP)
        posted = counters(daemon)['posted']
        vmm.ok('post')     # a DMA transfer, which is sent before what follows
        rig.eventually(lambda: counters(daemon)['posted'] == posted + 5)
        vmm.ok('churn 1')  # a mapping that is not answered ends the connection
        vmm.ok(f'await lost {number + 1}')
        stopped = target.process
        os.unlink(target.socket)
        target.start('--verbose')
        rig.eventually(lambda: row(daemon)['state'] == 'fenced')
        assert str(stopped.pid) in row(daemon)['reason']
        os.kill(stopped.pid, signal.SIGCONT)
        vmm.ok('filled')
        assert row(daemon)['state'] == 'fenced'
        target.process.drain()
        assert b'dma_map' not in target.process.err
        stopped.close()
        vmm.ok(f'await reset {number + 1}', 'check 1')
        target.process.drain()
        assert b'dma_map' in target.process.err
    vmm.has_been_right()


def change(offset, value):
    """A function that changes a byte of config space."""
    def mutate(fake):
        fake.config[offset] = value
    return mutate


def change_region(**values):
    def mutate(fake):
        for key, value in values.items():
            setattr(fake.regions[0], key, value)
    return mutate


SAME = {
    'nothing': lambda fake: None,
    'COMMAND': change(0x04, 0),
    'STATUS': change(0x07, 0x20),
    'BAR0': change(0x12, 0x11),
    'interrupt line': change(0x3c, 99),
}
DIFFERENT = {
    'vendor': change(0, 0x12),
    'device': change(2, 0x12),
    'revision': change(8, 9),
    'class': change(11, 1),
    'subsystem': change(0x2e, 1),
    'BAR2 type': change(0x18, 0),
    'capabilities': change(0x34, 0x48),
    'MSI-X table': change(0xa2, 3),
    'region size': change_region(size=8192),
    'region flags': change_region(flags=1),
    'no region': change_region(size=0),
    'fewer regions': lambda fake: fake.regions.pop(),
    'IRQ count': lambda fake: fake.irqs.__setitem__(2, (9, 4)),
    'IRQ flags': lambda fake: fake.irqs.__setitem__(0, (1, 1)),
    'fewer IRQs': lambda fake: fake.irqs.pop(),
}


@pytest.mark.parametrize('what', SAME | DIFFERENT)
def test_comes_back_different(vucd, vmm, what):
    """A device that is another one stays away, and its VMM has to detach."""
    with FakeDevice() as fake:
        daemon = vucd(device(fake, HOLD + 'reset = never\n'))
        client = vmm(daemon, 'disk0')
        client.ok('map 1')
        assert client.do('commit') == '0 '  # config space has been read before
        (SAME | DIFFERENT)[what](fake)
        fake.drop()
        if what in SAME:
            client.ok('back')
            assert row(daemon)['state'] == 'attached'
        else:
            client.ok('removed')
            assert row(daemon)['state'] == 'away'
            reason = row(daemon)['reason']
            assert 'another device has come back: ' in reason
            assert 'closed the connection' not in reason  # why the old one has ended
        client.detach()
        daemon.await_state('disk0', 'free')
        vmm(daemon, 'disk0').detach()
        assert daemon.stop() == 0
