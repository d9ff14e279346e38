# SPDX-License-Identifier: BSD-3-Clause
"""An NVMe driver over libvuc-vmm loses nothing that was acknowledged while its server is killed and
started again: vuc-refdev, and SPDK's target if VUC_SPDK_RESTART is a command that does so with it."""

import os
import subprocess

import pytest

import rig
from outage_rig import FAST, Nvme

HOLD = f'outage = hold\nhold-ms = 3600000\n{FAST}'
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
    options = [disk]
    if way == 'mapped':
        options.append(f'--bar-file={bars}')
    target = server(*options)
    more = 'map = none\n' if way != 'mapped' else ''
    if way == 'by message':
        more += 'dma = message\n'
    if recover == 'none':
        more += 'recover = none\n'
    daemon = vucd(f'[device nvme0]\nsocket = {target.socket}\n{HOLD}{more}')
    daemon.await_state('nvme0', 'free')
    vmm = driver(daemon, 'nvme0', recover)
    vmm.await_output(f'# doorbells are {"mapped" if way == "mapped" else "trapped"}\nback 0\n')
    for number in range(ROUNDS):
        target.restart(*options)
        vmm.await_back(number + 1)
    vmm.finish()
    assert daemon.stop() == 0


def test_filled_admin_queue(server, vucd, driver, disk):
    """The event request has left its queue, but was seen there before."""
    target = server(disk)
    daemon = vucd(f'log-level = debug\n[device nvme0]\nsocket = {target.socket}\n'
                  f'{HOLD}map = none\n')
    daemon.await_state('nvme0', 'free')
    vmm = driver(daemon, 'nvme0')
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
    daemon = vucd(f'[device nvme0]\nsocket = {target.socket}\nhold-ms = 1\nrecover = {recover}\n{FAST}')
    client = vmm(daemon, 'nvme0')
    assert client.do('queue') == '0 '
    assert client.do('set 36 983055') == '0 '
    assert client.do('get 36') == '0 983055'
    target.kill()
    assert client.do('lost') == '0 '
    assert client.do('get 36') == after
    target.start(disk)
    assert client.do('back') == '0 '
    assert client.do('get 36') == '0 0'


NO_EVENT = "the guest's NVMe driver gets no event, but sees in CSTS that the controller has failed: "


@pytest.mark.parametrize('dma', ['shared', 'message'])
@pytest.mark.parametrize('pages, aqa, why', [
    (0, 0xf000f, 'no memory is mapped for the admin submission queue at 0x0'),
    (1, 0xf000f, 'no memory is mapped for the admin completion queue at 0x2000'),
    (2, 0xf0040, 'no memory is mapped for the admin submission queue at 0x0'),
    (2, 0xf000f, 'no asynchronous event request is outstanding')])
def test_no_event(server, vucd, vmm, disk, dma, pages, aqa, why):
    """A VMM whose driver has placed its queues anywhere loses nothing but the event."""
    target = server(disk)
    daemon = vucd(f'[device nvme0]\nsocket = {target.socket}\n{HOLD}dma = {dma}\n')
    client = vmm(daemon, 'nvme0')
    assert client.do('queue') == '0 '
    if pages:
        assert client.do(f'map {pages}') == '0 '
        assert client.do('commit') == '0 '
    for register, value in ((36, aqa), (40, 0), (44, 0), (48, 0x2000), (52, 0), (20, 0x460001)):
        assert client.do(f'set {register} {value}') == '0 '
    assert client.do('get 28') == '0 1'
    target.restart(disk)
    assert client.do('back') == '0 '
    daemon.await_output(NO_EVENT + why, 'err')
    assert client.do('get 28') == '0 2'
    assert client.do('set 20 4587520') == '0 '
    assert client.do('get 28') == '0 0'
    assert daemon.stop() == 0


def test_spdk(vucd, driver):
    path, restart = os.environ.get('VUC_SPDK_NVMF_SOCKET'), os.environ.get('VUC_SPDK_RESTART')
    if not path or not restart:
        pytest.skip("VUC_SPDK_NVMF_SOCKET and VUC_SPDK_RESTART do not name SPDK's target and a "
                    'command that restarts it')
    daemon = vucd(f'[device nvme0]\nsocket = {path}\nkeep-bar0 = on\n{HOLD}')
    subprocess.run(restart, shell=True, check=True, stdout=subprocess.DEVNULL)
    daemon.await_state('nvme0', 'free')
    vmm = driver(daemon, 'nvme0')
    vmm.await_output('# doorbells are mapped\nback 0\n')
    for number in range(SPDK_ROUNDS):
        subprocess.run(restart, shell=True, check=True, stdout=subprocess.DEVNULL)
        vmm.await_back(number + 1)
    vmm.finish()
    assert daemon.stop() == 0
