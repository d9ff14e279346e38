# SPDX-License-Identifier: BSD-3-Clause
"""QEMU as a vfio-user client: what vfio-user-pci of QEMU 10.1 and later (hw/vfio-user and
hw/vfio/pci.c) sends, byte for byte, and how it takes replies: what it cannot take fails an
assertion here."""

import json
import os
import select
import struct
import time

import pytest
import rig
import vfio_client as vfio
from front_client import (BAR0_REG, CAP_MSIX, COMMAND, FLAG_CAPS, FLAG_MMAP, FLAG_PCI, FLAG_RESET,
                          HIGH_RAM, RAM_SIZE, ROM_REG, Alioth, CloudHypervisor, Region, Vmm)
from vfio_client import (CONFIG, DATA_EVENTFD, DATA_NONE, DMA_MAP, DMA_UNMAP, ERR, ERROR, GET_INFO,
                         GET_IRQ_INFO, GET_REGION_INFO, INTX, MASK, MSIX, NO_REPLY, READ,
                         REGION_READ, REGION_WRITE, REPLY, REQ, RESET, SET_IRQS, TRIGGER, UNMASK,
                         VERSION, WRITE, access, dma_map, dma_unmap, irq_set, message, region_info)

INTERRUPT_PIN = 0x3d


class TimedOut(AssertionError):
    """QEMU has waited for a reply for longer than x-msg-timeout."""


class Qemu(Vmm):
    """QEMU 10.1 and later with vfio-user-pci."""

    PROPOSAL = (b'{"capabilities": {"max_msg_fds": 16, "max_data_xfer_size": 1048576, '
                b'"write_multiple": true, "pgsizes": 4096, "max_dma_maps": 65535, '
                b'"migration": {"pgsize": 4096, "max_bitmap_size": 268435456}}}\0')

    def __init__(self, path, **options):
        super().__init__(path, **options)
        self.pending = {}   # number -> [most bytes of its reply, whether it may carry a descriptor]
        self.replies = {}
        self.dead = None    # why the connection cannot be used any more
        self.max_fds = 8
        self.capabilities = {}

    # Messages, as proxy.c sends and receives them.

    def send_one(self, cmd, body, fds=(), flags=0, room=None, takes_fd=False):
        """Send a message. Returns its number."""
        assert self.dead is None, self.dead
        number = self.next_number()
        if not flags & NO_REPLY:
            self.pending[number] = (16 + len(body) if room is None else room, takes_fd)
        while not self.await_room():
            self.receive_one()
        self.send(message(number, cmd, body, flags), fds)
        return number

    def await_room(self):
        """Returns whether a message can be sent; otherwise one can be received."""
        readable, writable, _ = select.select([self.sock], [self.sock], [], rig.TIMEOUT_S)
        assert readable or writable
        return bool(writable)

    def die(self, why):
        """vfio_user_shutdown(): nothing is received any more."""
        self.dead = why

    def receive_one(self):
        """vfio_user_recv_one(): the body of a reply that nobody waits for stays in the stream."""
        head, fds = self.receive_bytes(16)
        if len(head) < 16:
            return self.die('server closed socket')
        number, cmd, size, flags, error = struct.unpack('<HHIII', head)
        if size < 16:
            return self.die('bad header size')
        if flags & 0xf not in (0, REPLY):
            return self.die('unknown message type')
        assert flags & 0xf == REPLY, f'a command, {cmd}, of which QEMU has another layout'
        if number not in self.pending:
            return None  # unexpected reply
        room, takes_fd = self.pending.pop(number)
        assert len(fds) <= takes_fd, 'unexpected FDs'
        assert size <= room, f'reply of command {cmd} larger than recv buffer: {size}, {room}'
        body, more = self.receive_bytes(size - 16)
        assert len(body) == size - 16 and not more, 'descriptors behind the first byte'
        error = -error if flags & ERROR else 0
        self.replies[number] = vfio.Message(number, cmd, size, flags, error, body, fds)
        return None

    def wait(self, number):
        """vfio_user_send_wait(), its second half. Returns the reply."""
        deadline = time.monotonic() + self.timeout_s
        while number not in self.replies:
            assert self.dead is None, self.dead
            if not self.await_readable(deadline):
                del self.pending[number]
                raise TimedOut('timed out waiting for reply')
            self.receive_one()
        return self.replies.pop(number)

    def ask(self, cmd, body=b'', fds=(), **options):
        return self.wait(self.send_one(cmd, body, fds, **options))

    def expect(self, cmd, body=b'', fds=(), **options):
        """Ask for what succeeds."""
        reply = self.ask(cmd, body, fds, **options)
        assert reply.error == 0, (cmd, reply.error)
        return reply

    # Start.

    def negotiate(self):
        reply = self.expect(VERSION, struct.pack('<HH', 0, 0) + self.PROPOSAL)
        major, minor = struct.unpack_from('<HH', reply.body)
        assert (major, minor) == (0, 0), 'incompatible server version'
        assert reply.body[-1:] == b'\0', 'corrupt version reply'
        parsed = json.loads(reply.body[4:-1])
        assert set(parsed) == {'capabilities'}, 'spurious capabilities'
        caps = self.capabilities = parsed['capabilities']
        migration = caps.get('migration', {})
        assert set(caps) <= {'max_msg_fds', 'max_data_xfer_size', 'pgsizes', 'max_dma_maps',
                             'migration', 'write_multiple'}, 'spurious capabilities'
        assert set(migration) <= {'pgsize', 'max_bitmap_size'}, 'spurious capabilities'
        assert 0 <= caps.get('max_msg_fds', 8) <= 16
        assert caps.get('max_data_xfer_size', 0) <= 64 << 20
        assert caps.get('max_dma_maps', 0) <= 65535
        assert caps.get('pgsizes', 4096) & 4095 == 0 != caps.get('pgsizes', 4096)
        assert migration.get('pgsize', 4096) & 4095 == 0
        assert migration.get('max_bitmap_size', 0) <= 256 << 20
        self.max_fds = caps.get('max_msg_fds', 8)

    def sections(self):
        """(address, size, has a descriptor, offset, writable): RAM, and ROMs without one."""
        return [(0, 0xc0000, True, 0, True), (0xc0000, 0x20000, False, 0, False),
                (0xe0000, 0x20000, False, 0, False),
                (HIGH_RAM, RAM_SIZE - HIGH_RAM, True, HIGH_RAM, True),
                (0xfffc0000, 0x40000, False, 0, False)]

    def map_section(self, addr, size, fd=None, offset=0, writable=True):
        """vfio_user_dma_map(). Returns the number."""
        flags = READ | (WRITE if writable else 0)
        return self.send_one(DMA_MAP, dma_map(addr, size, offset, flags),
                             [] if fd is None else [fd])

    def unmap_section(self, addr, size):
        return self.send_one(DMA_UNMAP, dma_unmap(addr, size))

    def transaction(self, numbers):
        """vfio_user_listener_commit(): waits for the last, and prints errors. Returns those."""
        replies = [self.wait(number) for number in numbers]
        assert all(reply.cmd != DMA_UNMAP or reply.error or reply.size == 40 for reply in replies)
        return [reply.error for reply in replies if reply.error]

    def map_memory(self):
        return self.transaction([
            self.map_section(addr, size, self.memory if has_fd else None, offset, writable)
            for addr, size, has_fd, offset, writable in self.sections()])

    def region_info(self, index):
        """Ask with 32 bytes, and again for what the reply wanted. A descriptor comes with both."""
        argsz = 32
        while True:
            reply = self.expect(GET_REGION_INFO, region_info(index, argsz), room=16 + argsz,
                                takes_fd=True)
            region = Region(reply.body, reply.fds[0] if reply.fds else None)
            assert region.index == index
            if region.argsz <= argsz:
                break
            for fd in reply.fds:
                os.close(fd)
                self.fds.remove(fd)
            assert argsz == 32, 'the reply wants more each time'
            argsz = region.argsz
        if region.flags & FLAG_CAPS:
            assert 32 <= region.cap_offset <= region.argsz
        self.regions[index] = region
        return region

    def irq_info(self, index):
        reply = self.expect(GET_IRQ_INFO, vfio.info(index))
        assert reply.size == 32
        _, flags, found, count = struct.unpack('<IIII', reply.body)
        assert found == index
        return flags, count

    def attach(self):
        """vfio_user_pci_realize()."""
        self.negotiate()
        self.map_memory()
        info = self.expect(GET_INFO, vfio.info())
        assert info.size == 32
        _, self.flags, regions, irqs = struct.unpack('<IIII', info.body)
        assert self.flags & FLAG_PCI and 8 <= regions <= 100 and 3 <= irqs <= 50
        for index in (0, 1, 2, 3, 4, 5, CONFIG):
            self.region_info(index)
        self.err_count = self.irq_info(ERR)[1]
        self.set_up_config()
        self.enable_intx()
        for index in (ERR, REQ):
            if self.irq_info(index)[1]:
                assert self.assign(index, 0, [self.new_eventfd(index, 0)]) == 0

    def set_up_config(self):
        """vfio_pci_config_setup(): config space at once, then registers, the ROM by sizing it."""
        self.config = self.read(CONFIG, 0, min(4096, self.regions[CONFIG].size))
        assert int.from_bytes(self.config[:2], 'little') not in (0, 0xffff)
        self.region_info(6)
        rom = self.get(CONFIG, ROM_REG, 4)
        self.set(CONFIG, ROM_REG, 4, 0xfffff800)
        size = self.get(CONFIG, ROM_REG, 4) & 0xfffff800
        assert -size & 0xffffffff & ~0x7ff in (0, self.regions[6].size)
        self.set(CONFIG, ROM_REG, 4, rom)
        self.msix = self.find_capability(CAP_MSIX)
        if self.msix:
            self.vectors = (self.get(CONFIG, self.msix + 2, 2) & 0x7ff) + 1
            self.table = self.get(CONFIG, self.msix + 4, 4)
            self.pba = self.get(CONFIG, self.msix + 8, 4)
            assert self.irq_info(MSIX)[1] == self.vectors
        self.bars = [self.get(CONFIG, BAR0_REG + 4 * i, 4) for i in range(6)]

    # What a guest does.

    def read(self, region, offset, count):
        """Returns the bytes, or a negative error."""
        reply = self.ask(REGION_READ, access(region, offset, count), room=32 + count)
        if reply.error:
            return reply.error
        assert reply.body[:16] == access(region, offset, count)
        assert reply.size == 32 + count
        return reply.body[16:]

    def post_write(self, region, offset, data):
        self.send_one(REGION_WRITE, access(region, offset, len(data), data), flags=NO_REPLY)

    def write(self, region, offset, data):
        """Returns 0 or a negative error."""
        reply = self.ask(REGION_WRITE, access(region, offset, len(data), data))
        assert reply.error or reply.size == 32
        return reply.error

    def is_posting(self):
        return not any(region.flags & FLAG_MMAP for region in self.regions.values())

    def set_irqs(self, flags, index, start, count, fds=()):
        """36 bytes each. Returns 0 or a negative error."""
        return self.ask(SET_IRQS, irq_set(flags, index, start, count), fds).error

    def assign(self, index, start, fds):
        """vfio_user_device_io_set_irqs() with eventfds, so many a message as may be; None: none."""
        at = 0
        while at < len(fds):
            end = at + 1
            while (end < len(fds) and end - at < self.max_fds and
                   (fds[end] is None) == (fds[at] is None)):
                end += 1
            chosen = [] if fds[at] is None else fds[at:end]
            error = self.set_irqs(DATA_EVENTFD | TRIGGER, index, start + at, end - at, chosen)
            if error:
                return error
            at = end
        return 0

    def disable(self, index):
        return self.set_irqs(DATA_NONE | TRIGGER, index, 0, 0)

    def enable_intx(self):
        """With KVM's irqfds: masked, an eventfd for the unmask, unmasked."""
        if self.get(CONFIG, INTERRUPT_PIN, 1) == 0:
            return
        assert self.assign(INTX, 0, [self.new_eventfd(INTX, 0)]) == 0
        if self.irq_info(INTX)[0] & 2:
            assert self.set_irqs(DATA_NONE | MASK, INTX, 0, 1) == 0
            assert self.set_irqs(DATA_NONE | UNMASK, INTX, 0, 1) == 0

    def enable_msix(self, count=None):
        """A Linux guest enables MSI-X and, one after the other, its vectors."""
        control = self.get(CONFIG, self.msix + 2, 2)
        assert self.disable(INTX) == 0
        assert self.write(CONFIG, self.msix + 2, (control | 0x8000).to_bytes(2, 'little')) == 0
        assert self.assign(MSIX, 0, [None]) == 0
        for used in range(1, (count or self.vectors) + 1):
            assert self.disable(MSIX) == 0
            assert self.assign(MSIX, 0, [self.new_eventfd(MSIX, i) for i in range(used)]) == 0

    def disable_msix(self):
        assert self.disable(MSIX) == 0
        self.set(CONFIG, self.msix + 2, 2, self.get(CONFIG, self.msix + 2, 2) & 0x3fff)

    def reset(self):
        """vfio_user_pci_reset()."""
        self.disable(INTX)
        self.disable(MSIX)
        command = self.get(CONFIG, COMMAND, 2)
        self.set(CONFIG, COMMAND, 2, command & ~7)
        if self.flags & FLAG_RESET:
            assert self.expect(RESET, room=16).size == 16
        self.enable_intx()
        for reg in (*range(BAR0_REG, BAR0_REG + 24, 4), ROM_REG):
            self.set(CONFIG, reg, 4, 0)

    def detach(self):
        self.close()


VMMS = pytest.mark.parametrize('kind', [Qemu, CloudHypervisor, Alioth])
