# SPDX-License-Identifier: BSD-3-Clause
"""Maps and unmaps that a stock VMM sends without waiting for replies, as QEMU does for a guest with
an IOMMU: each has its own answer, and each mapping is one of the server's own."""

import os
import signal
import struct

import rig
import vfio_client as vfio
from fake_device import FakeDevice
from front_client import HIGH_RAM
from front_qemu import Qemu
from outage_rig import FOREVER, Holdings
from vfio_client import (BY_MMAP, DATA_EVENTFD, DMA_MAP, DMA_UNMAP, DONE, EFAULT, MSIX, PAGE, RESET,
                         SET_IRQS, TRIGGER, irq_set)

IOVA = 1 << 32
ENOSPC, EEXIST, EINVAL = -28, -17, -22


class MapServer(FakeDevice):
    """Notes maps and unmaps; refuses maps of some addresses, and answers maps when it has so many
    of them."""

    def __init__(self):
        super().__init__()
        self.changes = []
        self.refused = set()
        self.hold = 1
        self.held = []

    def answer(self, channel):
        request = channel.receive()
        if request is None:
            return False
        self.held.append(request)
        if request.cmd != DMA_MAP or len(self.held) >= self.hold:
            for held in self.held:
                self.answer_one(channel, held)
            self.held, self.hold = [], 1
        return True

    def answer_one(self, channel, request):
        body, fds = self.reply_to(request.cmd, request.body)
        error = 0 if body is not None else 22
        if request.cmd in (DMA_MAP, DMA_UNMAP):
            at = 16 if request.cmd == DMA_MAP else 8
            addr, size = struct.unpack_from('<QQ', request.body, at)
            error = 28 if request.cmd == DMA_MAP and addr in self.refused else 0
            self.changes.append((request.cmd, (addr - IOVA) // PAGE, size // PAGE))
        flags = vfio.REPLY | (vfio.ERROR if error else 0)
        channel.send(vfio.message(request.id, request.cmd, b'' if error else body, flags,
                                  error=error), fds)


def map_page(vmm, page, fd=None):
    return vmm.map_section(IOVA + page * PAGE, PAGE, vmm.memory if fd is None else fd,
                           page % 1024 * PAGE)


def unmap_page(vmm, page):
    return vmm.unmap_section(IOVA + page * PAGE, PAGE)


def test_one_commit(exported):
    """They reach the server before it answers the first of them, except for what vucd itself
    refuses; maps and unmaps keep their order, and no neighbour is unmapped."""
    with MapServer() as server:
        one = exported('reset = never\n', servers=[server])
        daemon, vmm = one.daemon, one.client(kind=Qemu)
        vmm.negotiate()
        server.changes.clear()
        server.refused, server.hold = {IOVA + 5 * PAGE}, 32
        no_memory, _ = os.pipe()
        os.kill(daemon.pid, signal.SIGSTOP)
        numbers = [map_page(vmm, page, no_memory if page == 7 else None) for page in range(40)]
        numbers.insert(10, map_page(vmm, 9))
        os.kill(daemon.pid, signal.SIGCONT)
        errors = [vmm.wait(number).error for number in numbers]
        assert [(i, error) for i, error in enumerate(errors) if error] == \
            [(5, ENOSPC), (7, EINVAL), (10, EEXIST)]
        assert server.changes == [(DMA_MAP, page, 1) for page in range(40) if page != 7]
        server.changes.clear()
        os.kill(daemon.pid, signal.SIGSTOP)
        numbers = [unmap_page(vmm, page) for page in range(10)]
        numbers += [map_page(vmm, 8), unmap_page(vmm, 8), unmap_page(vmm, 10)]
        os.kill(daemon.pid, signal.SIGCONT)
        assert vmm.transaction(numbers) == []
        expected = [(DMA_UNMAP, page, 1) for page in range(10) if page not in (5, 7)]
        assert sorted(server.changes[:8]) == expected
        assert server.changes[8] == (DMA_MAP, 8, 1)
        assert sorted(server.changes[9:]) == [(DMA_UNMAP, 8, 1), (DMA_UNMAP, 10, 1)]
        vmm.close()
        assert daemon.stop() == 0  # the server's thread sees the end


def test_no_memory_in_front(exported):
    """What follows a map of no memory is what it is, and its descriptors are closed."""
    one = exported()
    vmm = one.attach()
    vmm.enable_msix()
    before = Holdings(one.daemon.pid).fds
    events = [vmm.new_eventfd(MSIX, vector) for vector in range(vmm.vectors)]
    for _ in range(5):
        vmm.set_reg('SCRATCH', 1)
        os.kill(one.daemon.pid, signal.SIGSTOP)
        numbers = [vmm.map_section(IOVA, PAGE),
                   vmm.send_one(SET_IRQS, irq_set(DATA_EVENTFD | TRIGGER, MSIX, 0, len(events)),
                                events),
                   vmm.map_section(IOVA, PAGE), vmm.send_one(RESET, b'')]
        os.kill(one.daemon.pid, signal.SIGCONT)
        assert vmm.transaction(numbers) == []
        assert vmm.reg('SCRATCH') == 0
    rig.eventually(lambda: Holdings(one.daemon.pid).fds <= before)


def send_storm(vmm, pages, server=None):
    """Map pages, and unmap every fifth soon after; the server is killed in the middle. Returns the
    number of each page's map, and of its unmap."""
    maps, unmaps = {}, {}
    for page in range(pages):
        maps[page] = map_page(vmm, page)
        if page % 5 == 4:
            unmaps[page - 2] = unmap_page(vmm, page - 2)
        if server is not None and page == pages // 2:
            server.kill()
    return maps, unmaps


def check_storm(vmm, maps, unmaps, pages):
    """The device reaches what was mapped and not unmapped, and nothing else. Returns how many of
    the maps have failed."""
    mapped = {page for page, number in maps.items() if vmm.wait(number).error == 0}
    mapped -= {page for page, number in unmaps.items() if vmm.wait(number).error == 0}
    for page in pages:
        expected = DONE if page in mapped else EFAULT
        assert vmm.transfer(BY_MMAP, IOVA + page * PAGE, HIGH_RAM, PAGE) == expected, page
    return len(maps) - len(unmaps) - len(mapped)


def test_storm(exported):
    one = exported()
    vmm = one.attach()
    maps, unmaps = send_storm(vmm, 1000)
    assert check_storm(vmm, maps, unmaps, range(0, 1000, 37)) == 0
    assert vmm.transaction([unmap_page(vmm, page) for page in range(1000)]) == []
    assert vmm.transfer(BY_MMAP, IOVA, HIGH_RAM, PAGE) == EFAULT


def test_server_killed(exported, folder):
    """What has been answered holds for the next server, too: maps beyond those of the last one are
    refused while it is away."""
    one = exported(FOREVER, f'--bar-file={folder}')
    vmm = one.attach()
    maps, unmaps = send_storm(vmm, 400, one.server)
    errors = {vmm.wait(number).error for number in (maps[0], maps[399])}
    assert errors <= {0, ENOSPC}
    del maps[0], maps[399]
    one.find(f'--bar-file={folder}')
    check_storm(vmm, maps, unmaps, range(1, 399, 19))


def test_vmm_gone(exported):
    """In the middle: nothing is left behind for the next one."""
    one = exported()
    one.attach().close()
    one.daemon.await_state('d0', 'free')
    before = Holdings(one.daemon.pid).fds
    for _ in range(5):
        vmm = one.attach()
        send_storm(vmm, 300)
        vmm.close()
        one.daemon.await_state('d0', 'free')
    rig.eventually(lambda: Holdings(one.daemon.pid).fds <= before)
    vmm = one.attach()
    assert vmm.transaction([map_page(vmm, 0)]) == []
    assert vmm.transfer(BY_MMAP, IOVA, HIGH_RAM, PAGE) == DONE
