# SPDX-License-Identifier: BSD-3-Clause
"""Servers that others wrote, behind vucd: libvfio-user's samples driven by the guest of vuc-vmm, and
SPDK's NVMe-oF target, which answers DEVICE_RESET and keeps its queues, so the next VMM must get another
connection. CONTRIBUTING.md says how they are named."""

import os
import signal

import pytest

import rig

CC, CSTS, AQA, ASQ, ACQ = 0x14, 0x1c, 0x24, 0x28, 0x30  # registers of NVMe
READY = 1


@pytest.fixture(name='guest')
def fixture_guest(start, vucd, folder):
    """Run vuc-vmm with a sample of libvfio-user. Until that listens, or has ended, vucd knows the
    device as away."""
    def run(name, *args, status=0):
        build = os.environ.get('VUC_LIBVFIO_USER_BUILD')
        if not build or 'VUC_VMM' not in os.environ:
            pytest.skip('VUC_LIBVFIO_USER_BUILD does not name a build of libvfio-user'
                        if not build else 'there is no vuc-vmm')
        if not os.access(f'{build}/samples/{name}', os.X_OK):
            pytest.skip('the build folder has no such sample')
        sample = start(f'{build}/samples/{name}', f'{folder}/s')
        daemon = vucd(f'[device dev0]\nsocket = {folder}/s\nretry-max-ms = 100\n')
        runs = []

        def has_run():
            runs.append(rig.Run(os.environ['VUC_VMM'], '--socket', daemon.vmm_socket,
                                '--device=dev0', *args))
            return ' is away: ' not in runs[-1].err or sample.process.poll() is not None
        rig.eventually(has_run)
        if ' is away: ' in runs[-1].err:
            pytest.skip('this version of the sample refuses its own BAR1: it ended with status '
                        f'{sample.wait()}, {sample.err.decode().splitlines()[-1:]}')
        if '/dev/kvm' in runs[-1].err:
            pytest.skip('there is no use of /dev/kvm here')
        assert runs[-1].status == status, runs[-1].out + runs[-1].err
        assert daemon.stop() == 0
        return runs[-1]
    return run


def test_gpio(guest):
    run = guest('gpio-pci-idio-16', '--rounds=50')
    assert run.err == ''
    for text in ('\n  BAR2: 0x100 bytes of I/O ports', '\n  pass  read and write an I/O port\n',
                 '\n  read through the queue  '):
        assert text in run.out


def test_torment(guest):
    """What it does with a device that it knows, it does with one that it does not know, too."""
    run = guest('gpio-pci-idio-16', '--guest=torment', '--rounds=50')
    assert run.err == '' and '\n  pass  use the device as before\n' in run.out


def test_unknown(guest):
    """A device without a driver is found and placed, and nothing more."""
    run = guest('server', status=77)
    assert run.err.startswith('vuc-vmm: ') and 'nothing was tested' in run.err
    assert run.err.count('\n') == 1
    assert '\n  pass  size and place its BARs\n' in run.out


def enable(client):
    """Admin queues in its memory, and the controller enabled."""
    page = 0x1000
    for what in ('queue', 'map 2', 'commit', f'set {AQA} {0x000f000f}', f'set {ASQ} 0',
                 f'set {ASQ + 4} 0', f'set {ACQ} {2 * page}', f'set {ACQ + 4} 0',
                 f'set {CC} {0x00460001}'):
        assert client.do(what) == '0 '
    rig.eventually(lambda: get(client, CSTS) & READY)


def get(client, register):
    status, value = client.do(f'get {register}').split()
    assert status == '0'
    return int(value)


def test_nvme(vucd, vmm):
    def find_clean():
        daemon.await_state('nvme0', 'free')
        client = vmm(daemon, 'nvme0')
        client.ok('queue')
        assert [get(client, register) for register in (CC, AQA, ACQ)] == [0, 0, 0]
        assert not get(client, CSTS) & READY
        client.detach()

    path = os.environ.get('VUC_SPDK_NVMF_SOCKET')
    if not path:
        pytest.skip("VUC_SPDK_NVMF_SOCKET does not name a socket of SPDK's target")
    daemon = vucd(f'[device nvme0]\nsocket = {path}\n')
    daemon.await_state('nvme0', 'free')
    client = vmm(daemon, 'nvme0')
    enable(client)
    client.detach()
    find_clean()
    client = vmm(daemon, 'nvme0')
    enable(client)
    assert client.stop(signal.SIGKILL) == -signal.SIGKILL
    find_clean()
    assert daemon.stop() == 0
