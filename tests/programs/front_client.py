# SPDX-License-Identifier: BSD-3-Clause
"""Stock VMMs as vfio-user clients: what Cloud Hypervisor (pci/src/vfio.rs, with the crate vfio_user
0.1.5) and Alioth (alioth/src/vfio/user) send, byte for byte, and how they take replies: what such a
VMM cannot take fails an assertion here. front_qemu.py has QEMU."""

import contextlib
import json
import mmap
import os
import select
import socket
import struct
import time

import rig
import vfio_client as vfio
from vfio_client import (BAR0, BAR4, CONFIG, DATA_EVENTFD, DATA_NONE, DMA_MAP, DMA_UNMAP, ERROR,
                         GET_INFO, GET_IRQ_INFO, GET_REGION_INFO, INTX, MSIX, REGISTERS,
                         REGION_READ, REGION_WRITE, REPLY, RESET, SET_IRQS, TRIGGER, UNMASK,
                         VERSION, Channel, access, dma_map, dma_unmap, irq_set, message, region_info)

COMMAND, BAR0_REG, ROM_REG, CAPABILITIES = 0x04, 0x10, 0x30, 0x34
CAP_MSIX = 0x11
FLAG_MMAP, FLAG_CAPS = 4, 8           # of a region
FLAG_RESET, FLAG_PCI = 1, 2           # of a device
RAM_SIZE = 16 << 20
RAM_WINDOW = 0x400                    # of BAR0 of the reference device, 1 KiB
HIGH_RAM = 0x100000                   # RAM from here on is one mapping


class Region:
    """What a VMM knows of a region."""

    def __init__(self, body, fd=None):
        self.argsz, self.flags, self.index, self.cap_offset, self.size, self.offset = \
            struct.unpack_from('<IIIIQQ', body)
        self.caps = body
        self.fd = fd

    def areas(self):
        """(offset, size) of what can be mapped: by the sparse mmap capability, or all of it."""
        if not self.flags & FLAG_MMAP:
            return []
        at = self.cap_offset if self.flags & FLAG_CAPS else 0
        while at:
            cap, _, following, count = struct.unpack_from('<HHII', self.caps, at)
            if cap == 1:
                return [struct.unpack_from('<QQ', self.caps, at + 16 + 16 * i)
                        for i in range(count)]
            at = following
        return [(0, self.size)]


class Vmm(Channel):
    """What VMMs have in common: guest memory, registers, a list of capabilities.

    timeout_s: how long it waits for a reply."""

    def __init__(self, path, timeout_s=rig.TIMEOUT_S):
        sock = socket.socket(socket.AF_UNIX)
        sock.connect(path)
        super().__init__(sock)
        self.timeout_s = timeout_s
        self.number = 0
        self.regions = {}
        self.events = {}  # eventfds by (index, vector)
        self.mapped = []
        self.config = b''
        self.memory = os.memfd_create('guest')
        os.ftruncate(self.memory, RAM_SIZE)
        self.ram = mmap.mmap(self.memory, RAM_SIZE)
        self.fds.append(self.memory)

    def new_eventfd(self, index, vector):
        """Make the eventfd of an interrupt, or find it."""
        if (index, vector) not in self.events:
            fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
            self.fds.append(fd)
            self.events[index, vector] = fd
        return self.events[index, vector]

    def await_event(self, index, vector=0):
        """Wait for an interrupt."""
        fd = self.events[index, vector]
        assert select.select([fd], [], [], rig.TIMEOUT_S)[0], f'no interrupt {index}.{vector}'
        return os.eventfd_read(fd)

    def take_events(self):
        """Which interrupts have come since the last look."""
        return {which for which, fd in self.events.items() if vfio.events(fd)}

    def next_number(self):
        number = self.number
        self.number = (self.number + 1) & 0xffff
        return number

    def await_readable(self, deadline=None):
        wait = rig.TIMEOUT_S if deadline is None else max(0, deadline - time.monotonic())
        return bool(select.select([self.sock], [], [], wait)[0])

    def find_capability(self, wanted):
        """Offset of a capability in the copy of config space; 0: there is none."""
        at = self.config[CAPABILITIES]
        while at and self.config[at] != wanted:
            at = self.config[at + 1]
        return at

    def map_region(self, index):
        """Map what can be mapped of a region. Returns (offset, memory) of each area."""
        region = self.regions[index]
        areas = [(offset, mmap.mmap(region.fd, size, offset=region.offset + offset))
                 for offset, size in region.areas()]
        self.mapped += [area for _, area in areas]
        return areas

    def get(self, region, offset, count):
        data = self.read(region, offset, count)
        assert len(data) == count
        return int.from_bytes(data, 'little')

    def set(self, region, offset, count, value):
        self.write(region, offset, value.to_bytes(count, 'little'))

    def reg(self, name):
        return self.get(BAR0, *REGISTERS[name])

    def post_reg(self, name, value):
        self.set(BAR0, *REGISTERS[name], value)

    set_reg = post_reg

    def transfer(self, mode, src, dst, size):
        """By the DMA engine of the reference device: DONE or a negative error."""
        vfio.start(self, mode, src, dst, size)
        return vfio.await_end(self)

    def close(self):
        for area in self.mapped:
            area.close()
        self.ram.close()
        super().close()


# ---- Cloud Hypervisor ----

class CloudHypervisor(Vmm):
    """It reads exactly what it expects, whatever a header says; any other reply would hang it."""

    PROPOSAL = (b'{"capabilities":{"max_msg_fds":1,"max_data_xfer_size":1048576,'
                b'"migration":{"pgsize":4096}}}\0')

    def exchange(self, cmd, body=b'', size=16, fds=(), number=None, fd_comes=False):
        """Send a command; returns the body of a reply of size bytes, its descriptors and the size
        that it says. number: that of a message before, instead of the next one. fd_comes: it is
        received by one recvmsg(2)."""
        number = self.next_number() if number is None else number
        self.send(message(number, cmd, body), fds)
        assert self.await_readable(time.monotonic() + self.timeout_s), f'hangs in command {cmd}'
        if fd_comes:
            data, came, _, _ = socket.recv_fds(self.sock, size, 1)
            self.fds += came
        else:
            data, came = self.receive_bytes(size)
            assert not came
        assert len(data) == size, f'hangs in command {cmd}: {len(data)} of {size} bytes'
        found, replied, length, flags, self.error = struct.unpack_from('<HHIII', data)
        if not fd_comes:
            assert length == size, f'hangs in command {cmd}: {length} instead of {size} bytes'
        assert (found, replied, flags & 0xf) == (number, cmd, REPLY)
        return data[16:], came, length

    def ask(self, cmd, body=b'', size=16, fds=()):
        return self.exchange(cmd, body, size, fds)[0]

    def attach(self):
        """add_vfio_user_device()."""
        self.negotiate()
        info = self.ask(GET_INFO, vfio.info(argsz=32), 32)
        _, self.flags, regions, self.irqs = struct.unpack('<IIII', info)
        assert self.flags & FLAG_PCI
        for index in range(regions):
            self.region_info(index)
        if not self.flags & FLAG_RESET:  # inverted in the crate
            self.reset()
        self.parse_capabilities()
        if self.irq_info(INTX)[1]:
            self.set_irqs(DATA_EVENTFD | TRIGGER, INTX, 0, 1, [self.new_eventfd(INTX, 0)])
        self.intx_in_use = (INTX, 0) in self.events
        self.map(0, 0, HIGH_RAM)
        self.map(HIGH_RAM, HIGH_RAM, RAM_SIZE - HIGH_RAM)
        self.allocate_bars()

    def negotiate(self):
        self.send(message(self.next_number(), VERSION, struct.pack('<HH', 0, 1) + self.PROPOSAL))
        data, _ = self.receive_bytes(20)
        number, cmd, size, flags, _, major, _ = struct.unpack('<HHIIIHH', data)
        assert (number, cmd, flags & 0xf, major) == (0, VERSION, REPLY, 0)
        text, _ = self.receive_bytes(size - 20)
        capabilities = json.loads(text[:-1])['capabilities']
        assert 'pgsize' in capabilities.get('migration', {'pgsize': 4096})

    def region_info(self, index):
        """With 32 bytes, and with the same number again for what the reply wanted."""
        def ask(argsz):
            return self.exchange(GET_REGION_INFO, region_info(index, argsz), 48, number=first,
                                 fd_comes=True)
        first = self.next_number()
        body, fds, length = ask(32)
        assert length == 48
        region = Region(body)
        if region.argsz > 32:
            for fd in fds:
                os.close(fd)
                self.fds.remove(fd)
            self.next_number()
            body, fds, length = ask(region.argsz)
            wanted = struct.unpack_from('<I', body)[0]
            assert length == 16 + wanted  # assert_eq!() of the crate
            caps, more = self.receive_bytes(wanted - 32)
            assert len(caps) == wanted - 32 and not more
            body += caps
        self.regions[index] = Region(body, fds[0] if fds else None)
        if self.regions[index].flags & FLAG_MMAP:
            assert fds, 'panics: a region that can be mapped has no descriptor'

    def irq_info(self, index):
        body = self.ask(GET_IRQ_INFO, vfio.info(index), 32)
        _, flags, found, count = struct.unpack('<IIII', body)
        assert found == index
        return flags, count

    def set_irqs(self, flags, index, start, count, fds=()):
        self.ask(SET_IRQS, irq_set(flags, index, start, count), fds=fds)

    def parse_capabilities(self):
        """Byte by byte."""
        at = self.get(CONFIG, CAPABILITIES, 1) & ~3
        self.msix = 0
        while at:
            if self.get(CONFIG, at, 1) == CAP_MSIX and self.irq_info(MSIX)[1]:
                self.msix = at
                self.vectors = (self.get(CONFIG, at + 2, 2) & 0x7ff) + 1
                self.table, self.pba = self.get(CONFIG, at + 4, 4), self.get(CONFIG, at + 8, 4)
            following = self.get(CONFIG, at + 1, 1) & ~3
            at = following if following != at else 0

    def allocate_bars(self):
        """Size all BARs and the ROM by writing ones; the regions have these sizes."""
        self.bars = {}
        index = 0
        while index <= 6:
            reg = ROM_REG if index == 6 else BAR0_REG + 4 * index
            flags = self.get(CONFIG, reg, 4)
            self.set(CONFIG, reg, 4, 0xffffffff)
            low = self.get(CONFIG, reg, 4)
            is_io = index != 6 and flags & 1
            is_long = index != 6 and not is_io and flags & 4
            mask = low & ~(3 if is_io else 15)
            bits = 32
            if is_long:
                self.set(CONFIG, reg + 4, 4, 0xffffffff)
                mask |= self.get(CONFIG, reg + 4, 4) << 32
                bits = 64
            size = -mask % (1 << bits) if mask else 0
            assert size == self.regions[index].size, (index, size)
            if size:
                self.bars[index] = size, flags
            index += 2 if size and is_long else 1

    def map(self, addr, offset, size):
        self.ask(DMA_MAP, dma_map(addr, size, offset), fds=[self.memory])
        return -self.error

    def unmap(self, addr, size):
        self.ask(DMA_UNMAP, dma_unmap(addr, size), 40)
        return -self.error

    def end_of_interrupt(self, region):
        """After each access of a BAR while INTx is in use."""
        if region != CONFIG and self.intx_in_use:
            error = self.error
            self.set_irqs(DATA_NONE | UNMASK, INTX, 0, 1)
            self.error = error

    def read(self, region, offset, count):
        """The bytes; the error is in .error, and Cloud Hypervisor does not look at it."""
        data = self.ask(REGION_READ, access(region, offset, count), 32 + count)[16:]
        self.end_of_interrupt(region)
        return data

    def write(self, region, offset, data):
        self.ask(REGION_WRITE, access(region, offset, len(data), data), 32)
        self.end_of_interrupt(region)
        return -self.error

    def enable_msix(self, count=None):
        """All vectors, 16 a message whatever max_msg_fds says, and the register behind that."""
        self.set_irqs(DATA_NONE | TRIGGER, INTX, 0, 0)
        self.intx_in_use = False
        fds = [self.new_eventfd(MSIX, i) for i in range(count or self.vectors)]
        for start in range(0, len(fds), 16):
            part = fds[start:start + 16]
            self.set_irqs(DATA_EVENTFD | TRIGGER, MSIX, start, len(part), part)
            assert self.error == 0
        self.set(CONFIG, self.msix + 2, 2, self.get(CONFIG, self.msix + 2, 2) | 0x8000)

    def disable_msix(self):
        self.set_irqs(DATA_NONE | TRIGGER, MSIX, 0, 0)
        self.set(CONFIG, self.msix + 2, 2, self.get(CONFIG, self.msix + 2, 2) & 0x3fff)

    def reset(self):
        self.ask(RESET)
        return -self.error

    def detach(self):
        """Drop, in which MSI-X and INTx are disabled, and shutdown(2)."""
        for index in (MSIX, INTX):
            self.set_irqs(DATA_NONE | TRIGGER, index, 0, 0)
        with contextlib.suppress(OSError):
            self.sock.shutdown(socket.SHUT_RDWR)
        self.close()


# ---- Alioth ----

class Alioth(Vmm):
    """It leaves the body of an error reply in the stream, and takes no longer reply than it
    expects."""

    PROPOSAL = b'{"capabilities":{"max_fds":32,"max_data_xfer_size":1048576}}\0'

    def transact(self, cmd, body=b'', room=0, fds=(), fd_comes=False):
        """Returns the body of the reply, at most room bytes, and its descriptors; None: an
        error."""
        number = self.next_number()
        self.send(message(number, cmd, body), fds)
        assert self.await_readable(time.monotonic() + self.timeout_s), f'hangs in command {cmd}'
        head, came = self.receive_bytes(16)
        found, _, size, flags, self.error = struct.unpack('<HHIII', head)
        assert found == number, 'msg_id mismatch'
        assert flags & 0xf == REPLY, 'unexpected message flags'
        assert fd_comes or not came
        if flags & ERROR:
            return None, []
        assert 16 <= size <= 16 + room, 'response buffer too small'
        data, more = self.receive_bytes(size - 16)
        assert len(data) == size - 16 and not more
        return data, came

    def ask(self, cmd, body=b'', room=0, fds=()):
        """Ask for what succeeds."""
        data, _ = self.transact(cmd, body, room, fds)
        assert data is not None, (cmd, self.error)
        return data

    def attach(self):
        data = self.ask(VERSION, struct.pack('<HH', 0, 2) + self.PROPOSAL, 8192)
        assert len(data) >= 4 and data[:2] == b'\0\0'
        _, self.flags, self.region_count, self.irq_count = struct.unpack(
            '<IIII', self.ask(GET_INFO, vfio.info(), 16))
        self.map(0, 0, RAM_SIZE)
        self.region_info(CONFIG)
        self.set(CONFIG, COMMAND, 2, 0x407)
        self.config = self.read(CONFIG, 0, self.regions[CONFIG].size)
        self.msix = self.find_capability(CAP_MSIX)
        if self.flags & FLAG_RESET:
            self.reset()
        for index in range(6):
            self.region_info(index)

    def region_info(self, index):
        data, fds = self.transact(GET_REGION_INFO, region_info(index), 32, fd_comes=True)
        assert data is not None and len(data) == 32 and len(fds) <= 1
        self.regions[index] = Region(data, fds[0] if fds else None)

    def map_region(self, index):
        """All but the pages of the MSI-X table and its pending bits, whatever the device says: here
        BAR4 of the reference device, or a region without these."""
        region = self.regions[index]
        pages = [(0x1000, 4096), (0x3000, 4096)] if index == BAR4 else [(0, region.size)]
        areas = [(at, mmap.mmap(region.fd, size, offset=region.offset + at)) for at, size in pages]
        self.mapped += [area for _, area in areas]
        return areas

    def map(self, addr, offset, size):
        data, _ = self.transact(DMA_MAP, dma_map(addr, size, offset), fds=[self.memory])
        return 0 if data == b'' else -self.error

    def unmap(self, addr, size):
        data, _ = self.transact(DMA_UNMAP, dma_unmap(addr, size), 24)
        return 0 if data is not None else -self.error

    def read(self, region, offset, count):
        """The bytes, or a negative error."""
        data, _ = self.transact(REGION_READ, access(region, offset, count), 16 + count)
        if data is None:
            return -self.error
        assert data[:16] == access(region, offset, count) and len(data) == 16 + count, 'truncated'
        return data[16:]

    def write(self, region, offset, data):
        """0 or a negative error."""
        reply, _ = self.transact(REGION_WRITE, access(region, offset, len(data), data), 16)
        if reply is None:
            return -self.error
        assert reply == access(region, offset, len(data)), 'truncated'
        return 0

    def enable_msix(self, count=8):
        """One vector after the other: disabled, which may fail, and all that are used."""
        for last in range(count):
            self.transact(SET_IRQS, irq_set(DATA_NONE | TRIGGER, MSIX, 0, 0))
            self.assign(MSIX, [self.new_eventfd(MSIX, i) for i in range(last + 1)])

    def assign(self, index, fds):
        """set_irq_eventfd(); None: no eventfd."""
        given = [fd for fd in fds if fd is not None]
        indexes, seen = b'', 0
        for fd in fds:
            indexes += struct.pack('<i', -1 if fd is None else seen)
            seen += fd is not None
        body = irq_set(DATA_EVENTFD | TRIGGER, index, 0, len(fds), 20 + len(indexes)) + indexes
        self.ask(SET_IRQS, body, fds=given)

    def disable_msix(self):
        self.ask(SET_IRQS, irq_set(DATA_NONE | TRIGGER, MSIX, 0, 0))

    def reset(self):
        self.ask(RESET)
        return 0

    def detach(self):
        self.close()
