# SPDX-License-Identifier: BSD-3-Clause
"""An NVMe driver over libvuc-vmm loses nothing that was acknowledged while its server is killed and
started again: vuc-refdev, and SPDK's target if VUC_SPDK_RESTART is a command that does so with it."""

import os
import subprocess

import pytest

import rig
from outage_rig import FAST, Nvme, Server

HOLD = f'outage = hold\nhold-ms = 3600000\n{FAST}'
ROUNDS = 10
SPDK_ROUNDS = 20


@pytest.fixture(name='driver')
def fixture_driver():
    yield from rig.starter(Nvme)


@pytest.fixture(name='server')
def fixture_server():
    yield from rig.starter(Server)


@pytest.mark.parametrize('recover', ['nvme', 'none'])
@pytest.mark.parametrize('way', ['mapped', 'trapped'])
def test_killed(server, vucd, driver, folder, way, recover):
    """Doorbells are the same file throughout, or are written by messages. The driver gets an event,
    and sees in CSTS, that the controller has failed, or nothing."""
    with open(f'{folder}/disk', 'wb') as disk:
        disk.truncate(1 << 20)
    os.mkdir(f'{folder}/bars')
    options = [f'--device=nvme:{folder}/disk']
    if way == 'mapped':
        options.append(f'--bar-file={folder}/bars')
    target = server(*options)
    more = 'map = none\n' if way == 'trapped' else ''
    if recover == 'none':
        more += 'recover = none\n'
    daemon = vucd(f'[device nvme0]\nsocket = {target.socket}\n{HOLD}{more}')
    daemon.await_state('nvme0', 'free')
    vmm = driver(daemon, 'nvme0', recover)
    vmm.await_output(f'# doorbells are {way}\nback 0\n')
    for number in range(ROUNDS):
        target.restart(*options)
        vmm.await_back(number + 1)
    vmm.finish()
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
