# SPDX-License-Identifier: BSD-3-Clause
"""A vfio-user client that says what it is told to, right or wrong, written from the specification
and from the registers of the reference device."""

import contextlib
import os
import re
import socket
import struct
from typing import NamedTuple

import rig

(VERSION, DMA_MAP, DMA_UNMAP, GET_INFO, GET_REGION_INFO, GET_REGION_IO_FDS, GET_IRQ_INFO, SET_IRQS,
 REGION_READ, REGION_WRITE, DMA_READ, DMA_WRITE, RESET, _, WRITE_MULTI, FEATURE, MIG_READ,
 MIG_WRITE) = range(1, 19)

REPLY, NO_REPLY, ERROR = 1, 0x10, 0x20  # flags
BAR0, BAR2, BAR4, CONFIG = 0, 2, 4, 7   # regions
INTX, MSI, MSIX, ERR, REQ = range(5)    # interrupts
READ, WRITE, MMAP, FILE_IO = 1, 2, 4, 8  # flags of a mapping
DATA_NONE, DATA_BOOL, DATA_EVENTFD, MASK, UNMASK, TRIGGER = (1 << i for i in range(6))
MAX_FDS = 253
EPERM, ENOENT, EIO, ENXIO, EACCES, EFAULT, EBUSY, EEXIST, EINVAL, ENOTTY, ENOSPC, EMSGSIZE, \
    EOPNOTSUPP, ENOTCONN = (
        -number for number in (1, 2, 5, 6, 13, 14, 16, 17, 22, 25, 28, 90, 95, 107))
PAGE = 4096

_HEADER = os.path.join(os.path.dirname(os.path.realpath(__file__)), '../../app/vuc-refdev/refdev_regs.h')
with open(_HEADER, encoding='utf-8') as _file:
    REGISTERS = {name: (int(offset, 16), int(size)) for name, offset, size in
                 re.findall(r'X\((\w+), (0x\w+), (\d), \w+\)', _file.read())}


class Message(NamedTuple):
    id: int
    cmd: int
    size: int
    flags: int
    error: int  # negative; 0: none
    body: bytes
    fds: list


def message(number, cmd, body=b'', flags=0, size=None, error=0):
    return struct.pack('<HHIII', number, cmd, 16 + len(body) if size is None else size, flags,
                       error) + body


def access(region, offset, count, data=b''):
    return struct.pack('<QII', offset, region, count) + data


def dma_map(addr=0, size=PAGE, offset=0, flags=READ | WRITE, argsz=32):
    return struct.pack('<IIQQQ', argsz, flags, offset, addr, size)


def dma_unmap(addr=0, size=PAGE, flags=0, argsz=24):
    return struct.pack('<IIQQ', argsz, flags, addr, size)


def irq_set(flags, index, start=0, count=1, argsz=20):
    return struct.pack('<IIIII', argsz, flags, index, start, count)


def info(index=0, argsz=16):
    """The body of GET_INFO, GET_IRQ_INFO and GET_REGION_IO_FDS."""
    return struct.pack('<IIII', argsz, 0, index, 0)


def region_info(index=0, argsz=32):
    return struct.pack('<IIIIQQ', argsz, 0, index, 0, 0, 0)


class Channel:
    """One socket, by which whole messages come."""

    def __init__(self, sock):
        self.sock = sock
        self.sock.settimeout(rig.TIMEOUT_S)
        self.fds = []  # that have come and are not closed

    def send(self, data, fds=()):
        if fds:
            data = data[socket.send_fds(self.sock, [data], fds):]
        if data:
            self.sock.sendall(data)

    def receive_bytes(self, size):
        """Receive so many bytes, or fewer at the end of the stream, and any descriptors."""
        data, fds = b'', []
        with contextlib.suppress(ConnectionResetError):
            while len(data) < size:
                part, came, _, _ = socket.recv_fds(self.sock, size - len(data), MAX_FDS)
                fds += came
                if not part:
                    break
                data += part
        self.fds += fds
        return data, fds

    def receive(self):
        """Receive a message as long as its header says; None: the stream has ended before."""
        head, fds = self.receive_bytes(16)
        if len(head) < 16:
            return None
        number, cmd, size, flags, error = struct.unpack('<HHIII', head)
        body, more = self.receive_bytes(size - 16)
        if len(body) < size - 16:
            return None
        return Message(number, cmd, size, flags, -error, body, fds + more)

    def has_ended(self):
        return self.receive_bytes(1) == (b'', [])

    def close(self):
        self.sock.close()
        while self.fds:
            os.close(self.fds.pop())


CAPABILITIES = '{"capabilities":{"max_msg_fds":8}}'
NO_TWIN = '{"capabilities":{"max_msg_fds":8,"max_data_xfer_size":8192}}'
TWIN = NO_TWIN[:-2] + ',"twin_socket":{"supported":true}}}'


class Client(Channel):
    """A client of a path, or of a socket, that proposes a version with these capabilities; None:
    not yet."""

    def __init__(self, where, capabilities=CAPABILITIES):
        sock = where
        if isinstance(where, str):
            sock = socket.socket(socket.AF_UNIX)
            sock.connect(where)
        super().__init__(sock)
        self.number = 0
        self.twin = None
        if capabilities is not None:
            reply = self.propose(capabilities)
            assert reply.error == 0
            if reply.fds:
                self.fds.remove(reply.fds[0])
                self.twin = Channel(socket.socket(fileno=reply.fds[0]))

    def propose(self, capabilities='', major=0, minor=2):
        data = struct.pack('<HH', major, minor)
        return self.ask(VERSION, data + (capabilities.encode() + b'\0' if capabilities else b''))

    def post(self, cmd, body=b'', flags=NO_REPLY, fds=()):
        """Send a command; returns its number."""
        self.number = (self.number + 1) & 0xffff
        self.send(message(self.number, cmd, body, flags), fds)
        return self.number

    def ask(self, cmd, body=b'', fds=(), flags=0):
        """The reply to a command; None: the server has closed the connection instead."""
        number = self.post(cmd, body, flags, fds)
        reply = self.receive()
        if reply is None:
            return None
        assert (reply.id, reply.cmd, reply.flags & 0xf) == (number, cmd, REPLY)
        assert (reply.error != 0) == bool(reply.flags & ERROR)
        assert reply.error == 0 or (reply.body, reply.fds) == (b'', [])
        return reply

    def try_ask(self, cmd, body=b'', fds=(), flags=0):
        """0, or the negative error of the reply."""
        return self.ask(cmd, body, fds, flags).error

    def read(self, region, offset, count):
        """The bytes, or a negative error."""
        reply = self.ask(REGION_READ, access(region, offset, count))
        if reply.error:
            return reply.error
        assert reply.body[:16] == access(region, offset, count)
        return reply.body[16:]

    def write(self, region, offset, data):
        """0 or a negative error."""
        reply = self.ask(REGION_WRITE, access(region, offset, len(data), data))
        assert reply.error or reply.body == access(region, offset, len(data))
        return reply.error

    def get(self, region, offset, count):
        return int.from_bytes(self.read(region, offset, count), 'little')

    def set(self, region, offset, count, value):
        assert self.write(region, offset, value.to_bytes(count, 'little')) == 0

    def reg(self, name):
        return self.get(BAR0, *REGISTERS[name])

    def set_reg(self, name, value):
        self.set(BAR0, *REGISTERS[name], value)

    def post_reg(self, name, value):
        """Post a write: by the same socket commands of the device may come before a reply."""
        offset, size = REGISTERS[name]
        self.post(REGION_WRITE, access(BAR0, offset, size, value.to_bytes(size, 'little')))

    def map(self, addr, size, flags=READ, fd=None, offset=0, argsz=32):
        """0 or a negative error."""
        return self.try_ask(DMA_MAP, dma_map(addr, size, offset, flags, argsz), [fd] if fd is not None else ())

    def map_memory(self, addr, size, flags=READ | WRITE):
        """Map memory with a descriptor, which is returned."""
        self.fds.append(os.memfd_create('memory'))
        os.ftruncate(self.fds[-1], size)
        assert self.map(addr, size, flags, self.fds[-1]) == 0
        return self.fds[-1]

    def unmap(self, addr, size, flags=0, argsz=24, more=b''):
        return self.ask(DMA_UNMAP, dma_unmap(addr, size, flags, argsz) + more)

    def set_irqs(self, flags, index, start, count, data=b'', fds=(), argsz=None):
        """0 or a negative error."""
        argsz = 20 + len(data) if argsz is None else argsz
        return self.try_ask(SET_IRQS, irq_set(flags, index, start, count, argsz) + data, fds)

    def new_eventfds(self, count):
        self.fds += [os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC) for _ in range(count)]
        return self.fds[-count:]

    def eventfd(self, index, n, action=TRIGGER):
        """Give an interrupt an eventfd for an action."""
        fds = self.new_eventfds(1)
        assert self.set_irqs(DATA_EVENTFD | action, index, n, 1, fds=fds) == 0
        return fds[0]

    def feature(self, flags, data=b'', room=0):
        """The reply; room is for data in it."""
        return self.ask(FEATURE, struct.pack('<II', 8 + room, flags) + data)

    def close(self):
        super().close()
        if self.twin:
            self.twin.close()


def events(fd):
    """Events since the last call."""
    try:
        return int.from_bytes(os.read(fd, 8), 'little')
    except BlockingIOError:
        return 0


# ---- The DMA engine of the reference device ----

BY_FILE, BY_MMAP = 1, 2
FILL, SRC_BAR2, DST_BAR2 = 0x10, 0x20, 0x40
DONE = 0
BUSY = 1


def start(client, mode, src=0, dst=0, size=1):
    for name, value in (('MODE', mode), ('SRC', src), ('DST', dst), ('LEN', size), ('START', 1)):
        client.post_reg(f'DMA_{name}', value)


def status(client):
    """DONE, BUSY or a negative error."""
    value = client.reg('DMA_STATUS')
    return BUSY if value == 1 else -client.reg('DMA_ERRNO') if value == 3 else DONE


def transfer(client, *args, **options):
    start(client, *args, **options)
    return status(client)


class Memory:
    """A client's memory at address 0, which answers the device's commands."""

    def __init__(self, client, size=65536):
        self.client = client
        self.channel = client.twin or client
        self.bytes = bytearray(i * 11 + i // 256 & 0xff for i in range(size))
        assert client.map(0, size, READ | WRITE) == 0

    def next(self):
        """The next command, and its address, count and data."""
        command = self.channel.receive()
        assert command.flags == 0
        return command, *struct.unpack_from('<QQ', command.body), command.body[16:]

    def reply(self, command, body=b'', error=0):
        flags = REPLY | (ERROR if error else 0)
        self.channel.send(message(command.id, command.cmd, body, flags, error=error))

    def answer(self, command, addr, count, data):
        if command.cmd == DMA_WRITE:
            assert len(data) == count
            self.bytes[addr:addr + count] = data
            self.reply(command, command.body[:16])
        else:
            assert (command.cmd, data) == (DMA_READ, b'')
            self.reply(command, command.body[:16] + self.bytes[addr:addr + count])


def await_end(client):
    """What was sent by the twin socket may be seen later than what was sent by the other."""
    while status(client) == BUSY:
        pass
    return status(client)
