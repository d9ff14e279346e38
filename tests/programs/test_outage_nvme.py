# SPDX-License-Identifier: BSD-3-Clause
"""An NVMe driver over libvuc-vmm loses nothing that was acknowledged while its server is killed and
started again: vuc-refdev, and SPDK's target if VUC_SPDK_RESTART is a command that does so with it."""

import struct

import pytest

import nvme
import rig
from front_qemu import Qemu
from nvme import PAGE
from outage_rig import FAST, Nvme, device, spdk
from vfio_client import BAR0

HOLD = 'outage = hold\nhold-ms = 3600000\n'
ROUNDS = 10
SPDK_ROUNDS = 20


@pytest.fixture(name='driver')
def fixture_driver():
    yield from rig.starter(Nvme)


@pytest.fixture(name='disk')
def fixture_disk(folder):
    with open(f'{folder}/disk', 'wb') as disk:
        disk.truncate(1 << 20)
    return f'--device=nvme:{folder}/disk'


@pytest.mark.parametrize('recover', ['nvme', 'none'])
@pytest.mark.parametrize('way', ['mapped', 'trapped', 'by message'])
def test_killed(server, vucd, driver, bars, disk, way, recover):
    """Doorbells are the same file throughout, or are written by messages, as is all memory. The
    driver gets an event, and sees in CSTS, that the controller has failed, and its commands fail, too;
    or it gets nothing."""
    options = [disk] + ([f'--bar-file={bars}'] if way == 'mapped' else [])
    target = server(*options)
    more = 'map = none\n' if way != 'mapped' else ''
    if way == 'by message':
        more += 'dma = message\n'
    if recover == 'none':
        more += 'recover = none\n'
    daemon = vucd(device(target, HOLD + more))
    daemon.await_state('disk0', 'free')
    vmm = driver(daemon, 'disk0', recover)
    vmm.await_output(f'# doorbells are {"mapped" if way == "mapped" else "trapped"}\nback 0\n')
    for number in range(ROUNDS):
        target.restart(*options)
        vmm.await_back(number + 1)
    vmm.finish()
    assert daemon.stop() == 0


def test_filled_admin_queue(server, vucd, driver, disk):
    """The event request has left its queue, but was seen there before."""
    target = server(disk)
    daemon = vucd('log-level = debug\n' + device(target, HOLD + 'map = none\n'))
    daemon.await_state('disk0', 'free')
    vmm = driver(daemon, 'disk0')
    seen = b"the guest's NVMe driver has requested events by admin command 31420"
    for number in range(2):
        assert daemon.await_event(lambda: daemon.err.count(seen) > number)
        vmm.fill_admin_queue()
        target.restart(disk)
        vmm.await_back(number + 1)
    vmm.finish()
    assert daemon.stop() == 0


@pytest.mark.parametrize('recover, after', [('nvme', '0 983055'), ('none', '-107 0')])
def test_after_hold(server, vucd, vmm, disk, recover, after):
    """A register keeps its value while the server does not come back: Linux gives a controller up
    for good that reads as all ones."""
    target = server(disk)
    client = vmm(vucd(device(target, f'hold-ms = 1\nrecover = {recover}\n')), 'disk0')
    client.ok('queue', 'set 36 983055')
    assert client.do('get 36') == '0 983055'
    target.kill()
    client.ok('lost')
    assert client.do('get 36') == after
    target.start(disk)
    client.ok('back')
    assert client.do('get 36') == '0 0'


@pytest.mark.parametrize('away', [False, True])
def test_after_hold_of_stock_vmm(server, vucd, disk, folder, away):
    """The same for a VMM that has started during an outage before."""
    target = server(disk)
    daemon = vucd(device(target, f'hold-ms = 1\nmap = none\nexport = {folder}/export\n'))
    daemon.await_state('disk0', 'free')
    if away:
        target.kill()
        daemon.await_state('disk0', 'away')
    vmm = Qemu(f'{folder}/export')
    vmm.attach()
    if away:
        target.start(disk)
        daemon.await_state('disk0', 'attached')
        rig.eventually(lambda: vmm.read(BAR0, nvme.AQA, 4) == bytes(4))
    vmm.set(BAR0, nvme.AQA, 4, 0xf000f)
    assert vmm.get(BAR0, nvme.AQA, 4) == 0xf000f
    target.kill()
    daemon.await_state('disk0', 'away')
    assert vmm.read(BAR0, nvme.AQA, 4) == b'\x0f\0\x0f\0'
    vmm.close()
    assert daemon.stop() == 0


def test_disabled_while_away(server, vucd, vmm, disk):
    """A driver that has disabled its controller during the outage sees no failure, and gets no event."""
    target = server(disk)
    daemon = vucd(device(target, HOLD))
    client = vmm(daemon, 'disk0')
    client.ok('queue', 'set 36 983055', 'set 20 4587521')
    target.kill()
    client.ok('lost', 'set 20 4587520')
    target.start(disk)
    client.ok('back')
    assert client.do('get 28') == '0 0'
    client.ok('set 20 4587521')
    target.restart(disk)
    client.ok('back')
    assert client.do('get 28') == '0 2'
    assert daemon.stop() == 0
    assert daemon.err.count(NO_EVENT.encode()) == 1


def test_stock_vmm(server, vucd, disk, folder):
    """The event request of a driver in a stock VMM is seen when it enables the controller, and again
    when it does so while its server is away."""
    target = server(disk)
    daemon = vucd('log-level = debug\n' + device(target, f'{HOLD}map = none\nexport = {folder}/export\n'))
    daemon.await_state('disk0', 'free')
    vmm = Qemu(f'{folder}/export')
    vmm.attach()

    def enable(command):
        vmm.ram[PAGE:PAGE + 4] = struct.pack('<HH', nvme.ASYNC_EVENT, command)
        for register, size, value in ((nvme.AQA, 4, 0xf000f), (nvme.ASQ, 8, PAGE), (nvme.ACQ, 8, 2 * PAGE),
                                      (nvme.CC, 4, nvme.CC_ENABLED)):
            vmm.set(BAR0, register, size, value)
        daemon.await_output(f"the guest's NVMe driver has requested events by admin command {command}", 'err')
    enable(7)
    target.kill()
    daemon.await_state('disk0', 'away')
    vmm.set(BAR0, nvme.CC, 4, nvme.CC_DISABLED)
    enable(8)
    vmm.close()
    assert daemon.stop() == 0


NO_EVENT = "the guest's NVMe driver gets no event, but sees in CSTS that the controller has failed: "


@pytest.mark.parametrize('dma', ['shared', 'message'])
@pytest.mark.parametrize('pages, aqa, why', [
    (0, 0xf000f, 'no memory is mapped for the admin submission queue at 0x0'),
    (1, 0xf000f, 'no memory is mapped for the admin completion queue at 0x2000'),
    (2, 0xf0040, 'no memory is mapped for the admin submission queue at 0x0'),
    (2, 0xf000f, 'no asynchronous event request is outstanding')])
def test_no_event(server, vucd, vmm, disk, dma, pages, aqa, why):
    """A VMM whose driver has placed its queues anywhere, at once, loses nothing but the event."""
    target = server(disk, '--fault=delay=20@region_read')
    daemon = vucd(device(target, f'{HOLD}dma = {dma}\n'))
    client = vmm(daemon, 'disk0')
    client.ok('queue')
    if pages:
        client.ok(f'map {pages}', 'commit')
    for register, value in ((36, aqa), (40, 0), (44, 0), (48, 0x2000), (52, 0), (20, 0x460001)):
        client.ok(f'set {register} {value}')
    assert client.do('get 28') == '0 1'
    target.restart(disk)
    client.ok('back')
    daemon.await_output(NO_EVENT + why, 'err')
    assert client.do('get 28') == '0 2'
    client.ok('set 20 4587520')
    assert client.do('get 28') == '0 0'
    assert daemon.stop() == 0


def test_spdk(vucd, driver):
    path, restart = spdk()
    daemon = vucd(f'[device nvme0]\nsocket = {path}\nkeep-bar0 = on\n{HOLD}{FAST}')
    restart()
    daemon.await_state('nvme0', 'free')
    vmm = driver(daemon, 'nvme0')
    vmm.await_output('# doorbells are mapped\nback 0\n')
    for number in range(SPDK_ROUNDS):
        restart()
        vmm.await_back(number + 1)
    vmm.finish()
    assert daemon.stop() == 0
