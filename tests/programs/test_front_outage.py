# SPDX-License-Identifier: BSD-3-Clause
"""A stock VMM and the server behind its device: killed again and again, away when the VMM starts, or
one that leaves out a reply of any kind."""

import os
import time

import pytest
import rig
import vfio_client as vfio
from front_client import HIGH_RAM, RAM_WINDOW, Alioth, CloudHypervisor
from front_qemu import VMMS, Qemu
from outage_rig import FOREVER, HOUR, ROUNDS, Leaks
from vfio_client import BAR0, BY_MMAP, CONFIG, DONE, EFAULT, MSIX, PAGE

# Not so short that a busy machine is later than that by a quarter.
REPLY = 'reply-ms = 4000\n'


def check_all(vmm):
    """Accesses, memory and interrupts work."""
    vmm.set_reg('SCRATCH', 0x1234567890)
    assert vmm.reg('SCRATCH') == 0x1234567890
    vmm.ram[PAGE:2 * PAGE] = data = os.urandom(PAGE)
    assert vmm.transfer(BY_MMAP, PAGE, HIGH_RAM, PAGE) == DONE
    assert vmm.ram[HIGH_RAM:HIGH_RAM + PAGE] == data
    vmm.take_events()
    for vector in (0, 7):
        vmm.set_reg('IRQ_TRIGGER', vector)
        assert vmm.await_event(MSIX, vector) >= 1  # once more by a return


def await_return(vmm):
    """Read until the device answers: Cloud Hypervisor sees ones before, the others errors."""
    rig.eventually(lambda: vmm.read(BAR0, 0, 4) == b'vucR')


@VMMS
def test_killed(exported, kind, folder):
    """Many times, and nothing is left behind by any of these."""
    one = exported(FOREVER + REPLY, f'--bar-file={folder}')
    vmm = one.attach(kind)
    vmm.enable_msix()
    vmm.set(CONFIG, 4, 2, 0x0406)
    vmm.set(CONFIG, 0x9c, 4, 0x11223344)
    leaks = Leaks(max(ROUNDS // 2, 10))
    for number in range(leaks.rounds):
        one.server.restart(f'--bar-file={folder}')
        await_return(vmm)
        one.await_return()
        for vector in range(8):  # each comes by the return
            assert vmm.await_event(MSIX, vector) == 1
        assert vmm.get(CONFIG, 4, 2) & 7 == 6
        assert vmm.get(CONFIG, 0x9c, 4) == 0x11223344
        check_all(vmm)
        leaks.look(number, vucd=one.daemon.pid)
    vmm.detach()
    one.daemon.await_state('d0', 'free')
    assert one.daemon.stop() == 0, one.daemon.err.decode()


def test_changes_while_away(exported, folder):
    """Maps and interrupts of the time without a server are the next one's; no more maps than the last
    one took."""
    one = exported(FOREVER + REPLY, f'--bar-file={folder}')
    vmm = one.attach()
    vmm.enable_msix()
    one.lose()
    page = 1 << 32
    assert vmm.transaction([vmm.unmap_section(0, 0xc0000)]) == []
    assert vmm.transaction([vmm.map_section(page, PAGE, vmm.memory, 0)]) == []
    assert vmm.assign(MSIX, 2, [vmm.new_eventfd(MSIX, 102)]) == 0
    one.find(f'--bar-file={folder}')
    assert vmm.transfer(BY_MMAP, page, HIGH_RAM, PAGE) == DONE
    assert vmm.transfer(BY_MMAP, PAGE, HIGH_RAM, PAGE) == EFAULT
    vmm.take_events()
    vmm.set_reg('IRQ_TRIGGER', 2)
    assert vmm.await_event(MSIX, 102) == 1


def test_neighbours(exported, folder):
    """Mappings beside each other stay apart, also after a restart: one can be unmapped while the
    device uses the other one."""
    one = exported(FOREVER + REPLY, f'--bar-file={folder}')
    vmm = one.attach()
    before = vmm.reg('DMA_MAPS')
    pages = [(iova, PAGE, vmm.memory, iova) for iova in (0, PAGE, 2 * PAGE)]
    vmm.transaction([vmm.map_section((1 << 32) + iova, *rest) for iova, *rest in pages])
    assert vmm.reg('DMA_MAPS') == before + 3
    one.server.restart(f'--bar-file={folder}')
    await_return(vmm)
    assert vmm.reg('DMA_MAPS') == before + 3


@pytest.mark.parametrize('fault', ['region_read#8000', 'region_write#40', 'device_set_irqs#30', 'dma_map#4',
                                   'dma_unmap', 'device_reset#2'])
def test_lost_reply(exported, fault, folder):
    """QEMU has an error instead, in time, and keeps its device."""
    one = exported(FOREVER + REPLY + 'timeout-ms = 6000\nlong-timeout-ms = 6000\n',
                   f'--bar-file={folder}', f'--fault=drop@{fault}')
    vmm = one.attach()
    vmm.enable_msix()
    for _ in range(12):  # 1,024 registers each, as the daemon itself reads them before
        vmm.read(CONFIG, 0, 4096)
    for _ in range(20):
        vmm.write(BAR0, RAM_WINDOW, bytes(8))
        vmm.assign(MSIX, 3, [vmm.new_eventfd(MSIX, 3)])
        vmm.transaction([vmm.map_section(1 << 32, PAGE, vmm.memory, 0)])
        vmm.transaction([vmm.unmap_section(1 << 32, PAGE)])
    vmm.ask(vfio.RESET, room=16)
    one.server.restart(f'--bar-file={folder}')  # a connection that has lost a reply may be over
    await_return(vmm)
    check_all(vmm)


def test_next_vmm_while_away(exported, folder):
    """A VMM leaves and the next one attaches at any step of an outage and of a return: the device is
    that one's, and nothing is left behind by the last one."""
    one = exported(FOREVER + 'reply-ms = 60000\n', f'--bar-file={folder}')
    leaks = Leaks(max(ROUNDS, 30))
    for number in range(leaks.rounds):
        last = one.attach()
        one.lose()
        if number % 2:
            last.close()
            one.await_left()
            last = one.attach()
        last.enable_msix()
        last.transaction([last.map_section(1 << 40, PAGE, last.memory)])
        one.server.start(f'--bar-file={folder}')
        time.sleep(number % 20 / 1000)
        last.close()
        rig.eventually(lambda: one.row()['vmm'] is None)
        vmm = one.attach([Qemu, CloudHypervisor, Alioth][number % 3])
        vmm.enable_msix()
        one.await_return()
        await_return(vmm)
        vmm.set(CONFIG, 4, 2, 0x0406)
        assert vmm.transfer(BY_MMAP, 1 << 40, PAGE, PAGE) == EFAULT
        check_all(vmm)
        vmm.close()
        one.daemon.await_state('d0', 'free')
        leaks.look(number, vucd=one.daemon.pid)


def test_lost_reply_at_the_start(exported):
    """To a read of the daemon itself: it connects again."""
    one = exported('timeout-ms = 500\n', '--fault=drop@region_read#40')
    assert one.attach().reg('ID') == 0x52637576


def test_start_while_coming(exported):
    """A device that is made clean for its next VMM is waited for, as long as for a reply."""
    one = exported('reply-ms = 60000\n')
    leaks = Leaks(30)
    for number in range(30):
        vmm = one.attach([Qemu, CloudHypervisor, Alioth][number % 3])
        assert vmm.get(BAR0, RAM_WINDOW, 4) == 0
        vmm.set(BAR0, RAM_WINDOW, 4, number + 1)
        vmm.enable_msix()
        check_all(vmm)
        leaks.look(number, vucd=one.daemon.pid)
        vmm.detach()


def test_daemon_ends(exported):
    """So does the connection, and the socket is gone."""
    one = exported()
    vmm = one.attach()
    assert one.daemon.stop() == 0
    vmm.receive_one()
    assert vmm.dead == 'server closed socket'
    assert not os.path.exists(one.path)


def test_disconnected_at_once(exported):
    """A VMM that breaks the protocol does not wait until its server, which hangs, has let go."""
    one = exported(HOUR)
    vmm = one.attach()
    one.server.signal(rig.signal.SIGSTOP)
    vmm.send(vfio.message(1, vfio.REGION_READ, size=1))
    vmm.receive_one()
    assert vmm.dead == 'server closed socket'
