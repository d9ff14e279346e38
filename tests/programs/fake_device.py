# SPDX-License-Identifier: BSD-3-Clause
"""A vfio-user server in a thread of the test that offers what the test says: regions, interrupts, the bytes
of config space."""

import contextlib
import json
import os
import socket
import struct
import tempfile
import threading

import vfio_client as vfio
from vfio_client import CONFIG, ERROR, REPLY


class Region:
    def __init__(self, size=0, flags=0):
        self.size = size
        self.flags = flags
        self.areas = []
        self.type = None  # (type, subtype)
        self.fd = False   # a descriptor comes with it

    def info(self, index):
        caps = b''
        if self.areas:
            caps += struct.pack('<HHIII', 1, 1, 32 + 16 + 16 * len(self.areas) if self.type else 0,
                                len(self.areas), 0)
            caps += b''.join(struct.pack('<QQ', *area) for area in self.areas)
        if self.type:
            caps += struct.pack('<HHIII', 2, 1, 0, *self.type)
        return struct.pack('<IIIIQQ', 32 + len(caps), self.flags | (8 if caps else 0), index,
                           32 if caps else 0, self.size, 0) + caps


def sample_config():
    """Config space of a device with some of everything."""
    config = bytearray(4096)

    def put(offset, fmt, *values):
        struct.pack_into('<' + fmt, config, offset, *values)

    put(0x00, 'HHHH', 0x7675, 0x7663, 0x0006, 0x0010)
    put(0x08, 'I', 0x08800001)                 # class, revision
    put(0x10, 'I', 0xfebf0000)                 # BAR0: 32 bits
    put(0x18, 'II', 0x0000000c, 0x00000038)    # BAR2: 64 bits, prefetchable
    put(0x24, 'I', 0x0000c001)                 # BAR5: I/O
    put(0x2c, 'HH', 0xfffd, 0x0042)
    put(0x34, 'B', 0x40)
    put(0x3c, 'BB', 11, 1)
    put(0x40, 'BBHH', 0x01, 0x48, 0x0003, 0x000b)           # D3hot, no soft reset
    put(0x48, 'BBH', 0x05, 0x60, 0x0186)                    # 8 vectors, 64 bits, maskable
    put(0x60, 'BBHIIIH', 0x10, 0xa0, 0x0002, 0x10000000, 0, 0x43, 0)
    put(0xa0, 'BBHII', 0x11, 0xb0, 0x8007, 0x4, 0x2004)     # enabled, 8 vectors
    put(0xb0, 'BBB', 0x09, 0, 16)
    put(0x100, 'I', 0x0001 | 2 << 16 | 0x148 << 20)
    put(0x148, 'III', 0x0003 | 1 << 16, 0x55667788, 0x11223344)
    return config


class FakeDevice:
    """Serves one client after the other on .socket until the end of a with statement."""

    def __init__(self):
        self.config = sample_config()
        self.readable = 1 << 20  # bytes of config space; reads behind them fail
        self.regions = [Region() for _ in range(10)]
        self.regions[0] = Region(4096, 3)
        self.regions[2] = Region(1 << 63, 7)
        self.regions[4] = Region(16384, 3)
        self.regions[CONFIG] = Region(4096, 3)
        self.regions[9] = Region(100, 0x101)
        self.irqs = [(3, 1), (0, 0), (9, 8)]  # flags and count
        self.capabilities = {'max_msg_fds': 8, 'max_data_xfer_size': 1048576, 'pgsizes': 0x201000,
                             'max_dma_maps': 65535, 'write_multiple': True}
        self.more = ''  # behind the capabilities

    def version_json(self):
        return f'{{"capabilities":{json.dumps(self.capabilities, separators=(",", ":"))}' \
               f'{self.more}}}'

    def __enter__(self):
        self.folder = tempfile.TemporaryDirectory(prefix='vuc-')
        self.socket = f'{self.folder.name}/s'
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(self.socket)
        self.listener.listen()
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.thread.join()
        self.listener.close()
        self.folder.cleanup()

    def serve(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            self.client = client
            channel = vfio.Channel(client)
            with contextlib.suppress(BrokenPipeError):
                while self.answer(channel):
                    pass
            channel.close()

    def drop(self):
        """End the connection of the client that there is."""
        self.client.shutdown(socket.SHUT_RDWR)

    def answer(self, channel):
        """Answer a message. Returns whether there was one."""
        request = channel.receive()
        if request is None:
            return False
        body, fds = self.reply_to(request.cmd, request.body)
        flags, error = (REPLY, 0) if body is not None else (REPLY | ERROR, 22)
        channel.send(vfio.message(request.id, request.cmd, body or b'', flags, error=error), fds)
        for fd in fds:
            os.close(fd)
        return True

    def reply_to(self, command, body):
        """Returns a body, None for an error, and descriptors."""
        if command == vfio.VERSION:
            return struct.pack('<HH', 0, 1) + self.version_json().encode() + b'\0', []
        if command == vfio.GET_INFO:
            return struct.pack('<IIII', 16, 3, len(self.regions), len(self.irqs)), []
        if command == vfio.GET_REGION_INFO:
            argsz, _, index = struct.unpack_from('<III', body)
            region = self.regions[index]
            return region.info(index)[:argsz], [os.memfd_create('r')] if region.fd else []
        if command == vfio.GET_IRQ_INFO:
            index = struct.unpack_from('<III', body)[2]
            flags, count = self.irqs[index]
            return struct.pack('<IIII', 16, flags, index, count), []
        if command == vfio.DMA_MAP:
            return b'', []
        if command == vfio.DMA_UNMAP:
            return body, []
        if command == vfio.REGION_READ:
            offset, region, count = struct.unpack('<QII', body)
            if region == CONFIG and offset + count <= self.readable:
                return body + bytes(self.config[offset:offset + count]), []
        return None, []
