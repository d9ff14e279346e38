# SPDX-License-Identifier: BSD-3-Clause
"""A VMM keeps its device while the server behind it is killed, stopped and started again."""

import pytest

import rig
from outage_rig import FAST, ROUNDS, Leaks, Server, Storm


@pytest.fixture(name='server')
def fixture_server():
    """Start servers that can be killed and started again: server('--verbose')."""
    yield from rig.starter(Server)


@pytest.fixture(name='storm')
def fixture_storm():
    """Attach VMMs that work all the time: storm(daemon, 'd0')."""
    yield from rig.starter(Storm)


def device(server, more='', name='disk0'):
    return f'[device {name}]\nsocket = {server.socket}\n{FAST}{more}'


def test_killed_and_attached_again(server, vucd, storm):
    """Without a hold, the VMM detaches and attaches again."""
    target = server()
    daemon = vucd(device(target, 'outage = fail\n'))
    daemon.await_state('disk0', 'free')
    vmm = storm(daemon, 'disk0')
    leaks = Leaks()
    vmm.ok('run')
    vmm.ok('check 1')
    for number in range(ROUNDS):
        vmm.ok('rounds 1')
        target.kill()
        vmm.ok(f'await lost {number + 1}')
        vmm.ok('pause')
        target.start()
        vmm.ok(f'await stale {number + 1}')
        vmm.ok('again')
        vmm.ok('run')
        vmm.ok('check 1')
        leaks.look(number, vucd=daemon.pid, vmm=vmm.pid)
    print(vmm.has_been_right('ECONNRESET', 'ENOTCONN', 'ECANCELED'))
    vmm.detach()
    assert daemon.stop() == 0
