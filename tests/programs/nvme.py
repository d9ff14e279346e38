# SPDX-License-Identifier: BSD-3-Clause
"""An NVMe driver over a vfio-user client, written from the specification: one command at a time, and
by hand whatever is wrong. Addresses are those of the controller, from BASE on."""

import itertools
import mmap
import os
import struct
from typing import NamedTuple

import rig
import vfio_client as vfio

PAGE = 4096
BASE = 0x10000000
CAP, VS, INTMS, INTMC, CC, CSTS, AQA, ASQ, ACQ, DOORBELLS = (
    0, 8, 0xc, 0x10, 0x14, 0x1c, 0x24, 0x28, 0x30, 0x1000)
CC_ENABLED, CC_DISABLED = 0x460001, 0x460000
RDY, CFS, SHUT_DOWN = 1, 2, 8

DELETE_SQ, CREATE_SQ, GET_LOG, _, DELETE_CQ, CREATE_CQ, IDENTIFY, _, ABORT, SET_FEATURES, \
    GET_FEATURES, _, ASYNC_EVENT = range(13)
FLUSH, WRITE, READ = range(3)
WRITE_ZEROES, DATASET = 8, 9

DNR = 0x4000
(INVALID_OPCODE, INVALID_FIELD, BAD_NAMESPACE, SEQUENCE, PRP_OFFSET, LBA_RANGE, BAD_CQ, BAD_QUEUE_ID,
 BAD_QUEUE_SIZE, TOO_MANY_EVENTS, BAD_VECTOR, BAD_LOG, BAD_DELETION, NOT_SAVEABLE, NOT_OF_NAMESPACE) = (
     DNR | code for code in (1, 2, 0xb, 0xc, 0x13, 0x80, 0x100, 0x101, 0x102, 0x105, 0x108, 0x109, 0x10c,
                             0x10d, 0x10f))
TRANSFER_ERROR, ABORT_REQUESTED = 4, 7
ALL = 0xffffffff


class Completion(NamedTuple):
    result: int
    sq_head: int
    sq: int
    cid: int
    status: int


class Queue:
    def __init__(self, number, sq, cq, entries):
        self.number, self.sq, self.cq, self.entries = number, sq, cq, entries
        self.tail, self.head, self.phase = 0, 0, 1


class Nvme:
    """A controller of a client. by_message: its memory has no descriptor. mapped: doorbells are
    written to memory."""

    def __init__(self, client, by_message=False, mapped=False, pages=1024):
        self.client = client
        self.size = pages * PAGE
        self.cids = itertools.count(1)
        self.doorbells = None
        self.admin = None
        self.bytes = None
        self.refused = set()  # addresses whose commands are answered by an error
        if by_message:
            self.bytes = bytearray(self.size)
            assert client.map(BASE, self.size, vfio.READ | vfio.WRITE) == 0
        else:
            fd = client.map_memory(BASE, self.size)
            self.bytes = mmap.mmap(fd, self.size)
        if mapped:
            self.doorbells = mmap.mmap(self.bar0_fd(), PAGE, offset=DOORBELLS)
        self.by_message = by_message

    def bar0_fd(self):
        reply = self.client.ask(vfio.GET_REGION_INFO, struct.pack('<IIIIQQ', 96, 0, 0, 0, 0, 0))
        assert len(reply.fds) == 1
        return reply.fds[0]

    def page(self, number):
        return BASE + number * PAGE

    def put(self, addr, data):
        self.bytes[addr - BASE:addr - BASE + len(data)] = data

    def get(self, addr, size):
        return bytes(self.bytes[addr - BASE:addr - BASE + size])

    def reg(self, offset, size=4):
        return self.client.get(0, offset, size)

    def set_reg(self, offset, value, size=4):
        self.client.set(0, offset, size, value)

    def enable(self, entries=16):
        """With an admin queue in the first two pages."""
        self.admin = Queue(0, self.page(0), self.page(1), entries)
        self.put(self.page(0), bytes(2 * PAGE))
        self.set_reg(AQA, (entries - 1) << 16 | (entries - 1))
        self.set_reg(ASQ, self.admin.sq, 8)
        self.set_reg(ACQ, self.admin.cq, 8)
        self.set_reg(CC, CC_ENABLED)
        assert self.reg(CSTS) == RDY

    def disable(self):
        self.set_reg(CC, CC_DISABLED)
        assert self.reg(CSTS) == 0

    def ring(self, index, value):
        if self.doorbells:
            self.doorbells[4 * index:4 * index + 4] = struct.pack('<I', value)
        else:
            self.set_reg(DOORBELLS + 4 * index, value)

    def put_command(self, queue, opcode, *cdw, nsid=0, prp=(0, 0), flags=0):
        """Put a command into a queue, without its doorbell. Returns its id."""
        cid = next(self.cids) & 0xffff
        self.put(queue.sq + 64 * queue.tail,
                 struct.pack('<BBHIQQQQ6I', opcode, flags, cid, nsid, 0, 0, *prp,
                             *(cdw + (0,) * (6 - len(cdw)))))
        queue.tail = (queue.tail + 1) % queue.entries
        return cid

    def submit(self, queue, *args, **options):
        cid = self.put_command(queue, *args, **options)
        self.ring(2 * queue.number, queue.tail)
        return cid

    def answer(self, before_reply=lambda: None):
        """Answer the next command of the device; before the reply something else is done."""
        channel = self.client.twin
        command = channel.receive()
        addr, count = struct.unpack_from('<QQ', command.body)
        head = command.body[:16]
        if any(addr <= refused < addr + count for refused in self.refused):
            channel.send(vfio.message(command.id, command.cmd, b'', vfio.REPLY | vfio.ERROR,
                                      error=14))
        elif command.cmd == vfio.DMA_WRITE:
            self.put(addr, command.body[16:])
            before_reply()
            channel.send(vfio.message(command.id, command.cmd, head, vfio.REPLY))
        else:
            channel.send(vfio.message(command.id, command.cmd, head + self.get(addr, count),
                                      vfio.REPLY))

    def peek(self, queue):
        """The next completion, or None."""
        entry = self.get(queue.cq + 16 * queue.head, 16)
        result, _, sq_head, sq, cid, status = struct.unpack('<IIHHHH', entry)
        return Completion(result, sq_head, sq, cid, status >> 1) if status & 1 == queue.phase else None

    def take(self, queue):
        """Wait for the next completion, and take it from the queue."""
        if self.by_message:
            while not self.peek(queue):
                self.answer()
        rig.eventually(lambda: self.peek(queue))
        completion = self.peek(queue)
        queue.head = (queue.head + 1) % queue.entries
        queue.phase ^= queue.head == 0
        self.ring(2 * queue.number + 1, queue.head)
        return completion

    def do(self, queue, *args, **options):
        """Carry out a command. Returns its status and result."""
        cid = self.submit(queue, *args, **options)
        completion = self.take(queue)
        assert (completion.cid, completion.sq, completion.sq_head) == (cid, queue.number, queue.tail)
        return completion.status, completion.result

    def manage(self, *args, **options):
        """The status of an admin command."""
        return self.do(self.admin, *args, **options)[0]

    def identify(self, what, nsid=0):
        """The bytes, or a status."""
        self.put(self.page(4), b'\xff' * PAGE)
        status = self.manage(IDENTIFY, what, nsid=nsid, prp=(self.page(4), 0))
        return status or self.get(self.page(4), PAGE)

    def log(self, number, size, offset=0, retain=False):
        """The bytes, or a status."""
        dwords = size // 4 - 1
        self.put(self.page(4), b'\xff' * size)
        status = self.manage(GET_LOG, (dwords & 0xffff) << 16 | retain << 15 | number, dwords >> 16,
                             offset & ALL, offset >> 32, prp=(self.page(4), self.page(5)))
        return status or self.get(self.page(4), size)

    def create_cq(self, number, page=3, entries=16, flags=3, vector=0, offset=0):
        return self.manage(CREATE_CQ, (entries - 1) << 16 | number, vector << 16 | flags,
                           prp=(self.page(page) + offset, 0))

    def create_sq(self, number, page=2, entries=16, flags=1, cq=1, offset=0):
        return self.manage(CREATE_SQ, (entries - 1) << 16 | number, cq << 16 | flags,
                           prp=(self.page(page) + offset, 0))

    def open_queue(self, number=1, entries=16, vector=0):
        """A pair of I/O queues, in two pages from 8 on."""
        queue = Queue(number, self.page(6 + 2 * number), self.page(7 + 2 * number), entries)
        self.put(queue.sq, bytes(2 * PAGE))
        assert self.create_cq(number, 7 + 2 * number, entries, vector=vector) == 0
        assert self.create_sq(number, 6 + 2 * number, entries, cq=number) == 0
        return queue

    def prps(self, addr, size, list_at=None):
        """The two PRPs for data at an address, with a list that begins where it is told to: its
        pages are those from there on."""
        pages = range((addr & -PAGE) + PAGE, addr + size, PAGE)
        if len(pages) < 2:
            return addr, (pages[0] if pages else 0)
        entries, at = list(pages), list_at
        while entries:
            room = (PAGE - at % PAGE) // 8
            now, entries = (entries, []) if len(entries) <= room else (entries[:room - 1],
                                                                       entries[room - 1:])
            chain = [(at & -PAGE) + PAGE] if entries else []
            self.put(at, struct.pack(f'<{len(now) + len(chain)}Q', *now, *chain))
            at = (at & -PAGE) + PAGE
        return addr, list_at

    def io(self, queue, opcode, lba, blocks, prp, nsid=1, flags=0):
        """The status of a read or a write."""
        return self.do(queue, opcode, lba & ALL, lba >> 32, flags << 16 | blocks - 1, nsid=nsid,
                       prp=prp)[0]


def pattern(seed, size):
    return bytes((seed * 37 + i * 11 + i // 256) & 0xff for i in range(size))


def disk_bytes(path, lba, size):
    with open(path, 'rb') as file:
        return os.pread(file.fileno(), size, 512 * lba)
