# SPDX-License-Identifier: BSD-3-Clause
"""vucd is killed under a VMM, and VMMs are killed under vucd: whoever is left goes on."""

import pytest

from outage_rig import ROUNDS, Leaks, Storm, device


def test_vmm_killed(refdev, vucd):
    """The next VMM has a device without a trace of the one before."""
    server = refdev()
    daemon = vucd(device(server))
    leaks = Leaks()
    for number in range(ROUNDS):
        with Storm(daemon, 'disk0') as vmm:
            vmm.ok('run', 'rounds 1', 'check 1')
            vmm.has_been_right()
        daemon.await_state('disk0', 'free')
        leaks.look(number, vucd=daemon.pid, server=server.pid)
    assert daemon.stop() == 0
    assert server.stop() == 0


@pytest.mark.parametrize('again', ['reattach', 'again'])
def test_vucd_killed(refdev, vucd, storm, again):
    """The VMM attaches to the next daemon again, or detaches and attaches."""
    server = refdev()
    daemon = vucd(device(server))
    vmm = storm(daemon, 'disk0')
    leaks = Leaks()
    vmm.ok('run')
    for number in range(ROUNDS):
        vmm.ok('rounds 1')
        daemon.kill_and_run()
        vmm.ok(f'await gone {number + 1}')
        vmm.ok(again)
        vmm.ok('configure')  # as the guest's driver does after a reset
        vmm.ok('check 1')
        leaks.look(number, vmm=vmm.pid, server=server.pid)
    print('#', vmm.has_been_right('ECONNRESET'))
    vmm.detach()
    assert daemon.stop() == 0
    assert server.stop() == 0
