#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Write the seeds of fuzz_control into a folder: scripts as fuzz_control.c reads them."""

import pathlib
import struct
import sys

(HELLO, ATTACH, OPEN_QUEUE, MAP, PACKET, RAW, HANG_UP, REQUEST, WORD, BELL, POLL,
 TRUNCATE) = range(12)

# Types of packets, devices, kinds of descriptors, operations of requests, registers of BAR0.
(REGION_INFO, IRQ_INFO, _, CLOSE_QUEUE, DMA, SET_IRQS, IO_FDS, RESET, DETACH) = range(3, 12)
SHARED, MESSAGE = 0, 1
SEALED, MEMORY, EVENTFD, PIPE, FOLDER, DEVICE, SOCKET = range(7)
READ, WRITE, POST = 1, 2, 3
COMMIT = 0x80
DMA_SRC, DMA_DST, DMA_LEN, DMA_MODE, DMA_START, DMA_STATUS = 0x50, 0x58, 0x60, 0x64, 0x7c, 0x80
FILL = 0x10


def hello():
    return bytes([HELLO])


def attached(device=SHARED):
    return hello() + bytes([ATTACH, device])


def open_queue(depth=2, data=0):
    return bytes([OPEN_QUEUE, depth, data])


def dma_map(kind=SEALED, flags=2, iova=0, pages=1):
    return bytes([MAP, kind, flags, iova, pages])


def packet(kind, body=b'', fds=0):
    return bytes([PACKET, kind, fds, len(body)]) + body


def index(kind, value):
    return packet(kind, struct.pack('=II', value, 0))


def request(op, offset, data=b'', count=4, ring=0, region=0, ident=0):
    return bytes([REQUEST, ring, op, region, ident, count]) + struct.pack('=H', offset) + \
        data.ljust(8, b'\0')


def transfer(mode, length):
    return request(POST, DMA_LEN, struct.pack('=I', length)) + \
        request(POST, DMA_MODE, struct.pack('=I', mode)) + \
        request(POST, DMA_START, b'\1') + request(READ, DMA_STATUS)


def set_irqs(irq, count, action, data, which=b'', fds=0):
    return packet(SET_IRQS, struct.pack('=IIIHH', irq, 0, count, action, data) + which, fds)


def dma(entries, flags=1, fds=0):
    body = struct.pack('=IIII', len(entries), fds & 0xf, flags, 0)
    for op, access, iova, size, offset, fd in entries:
        body += struct.pack('=HHIQQQiI', op, 0, access, iova, size, offset, fd, 0)
    return packet(DMA, body, fds)


def word(position, value, ring=0):
    return bytes([WORD, ring]) + struct.pack('=II', position, value)


def bell(bits, kicks=1):
    return bytes([BELL]) + struct.pack('=QB', bits, kicks)


SEEDS = {
    'empty': b'',
    'hello': hello(),
    'hello-twice': hello() + hello(),
    'attach-first': bytes([ATTACH, SHARED]),
    'attach-twice': attached() + bytes([ATTACH, MESSAGE]),
    'detach': attached() + packet(DETACH) + packet(RESET),
    'hang-up': attached() + open_queue() + bytes([HANG_UP]) + request(READ, 0),
    'raw-short': attached() + bytes([RAW, 3]) + b'abc',
    'raw-header': attached() + bytes([RAW, 16]) + struct.pack('=HHIIi', RESET, 0, 16, 3, 0),
    'reset': attached() + packet(RESET),
    'regions': attached() + b''.join(index(REGION_INFO, i) for i in range(10)),
    'irqs': attached() + b''.join(index(IRQ_INFO, i) for i in range(6)),
    'io-fds': attached() + index(IO_FDS, 0) + index(IO_FDS, 2),
    'queues': attached() + open_queue() * 5 + index(CLOSE_QUEUE, 1) + index(CLOSE_QUEUE, 9),
    'read': attached() + open_queue() + request(READ, 0) + request(READ, 0x400, count=64),
    'write': attached() + open_queue() + request(WRITE, 8, b'12345678', 8) + request(READ, 8),
    'post': attached() + open_queue() + request(POST, 8, b'12345678', 8) * 9,
    'wrong-op': attached() + open_queue() + request(9, 0) + packet(RESET),
    'wrong-id': attached() + open_queue() + request(READ, 0, ident=200),
    'wrong-count': attached() + open_queue() + request(WRITE, 0, count=65),
    'words': attached() + open_queue() + word(0, 1) + word(31, 1) + word(16, 7) +
             bytes([POLL]) + bell(2**64 - 1, 9) + request(READ, 0),
    'map-shared': attached() + dma_map(SEALED | COMMIT) + dma_map(MEMORY | COMMIT, iova=1) +
                  dma([(2, 0, 0, 0x2000, 0, -1)]),
    'map-message': attached(MESSAGE) + dma_map(SEALED | COMMIT) + dma_map(MEMORY, iova=1) +
                   dma([(3, 0, 0, 0, 0, -1)]),
    'map-kinds': attached() + b''.join(dma_map(kind) for kind in range(7)),
    'map-overlap': attached() + dma_map(SEALED, pages=4) + dma_map(SEALED | COMMIT, iova=2),
    'map-many': attached(MESSAGE) + b''.join(dma_map(SEALED, iova=i) for i in range(18)),
    'map-two-fds': attached() + dma([(1, 1, 0, 4096, 0, 0), (1, 3, 4096, 4096, 4096, 1)], 1, 2),
    'map-lacks-fd': attached() + dma([(1, 1, 0, 4096, 0, 0)], 1, 0),
    'transfer': attached(MESSAGE) + open_queue() + dma_map(SEALED | COMMIT, pages=4) +
                transfer(FILL, 4096) + transfer(0, 4096),
    'transfer-unmapped': attached(MESSAGE) + open_queue() + transfer(FILL, 4096),
    'transfer-truncated': attached(MESSAGE) + open_queue() + dma_map(MEMORY | COMMIT, pages=8) +
                          bytes([TRUNCATE, 1]) + transfer(FILL, 16384) + bytes([POLL]),
    'truncated-read': attached(MESSAGE) + open_queue() + dma_map(MEMORY | COMMIT, pages=8) +
                      bytes([TRUNCATE, 0]) + transfer(0, 16384) + bytes([POLL]),
    'irq-assign': attached() + set_irqs(2, 2, 0, 2, b'\1\0', EVENTFD << 4 | 1) +
                  set_irqs(2, 8, 1, 0) + set_irqs(2, 2, 2, 1, b'\0\1') + set_irqs(2, 0, 3, 0),
    'irq-pipe': attached() + set_irqs(2, 1, 0, 2, b'\1', PIPE << 4 | 1),
    'irq-lacks-fd': attached() + set_irqs(2, 1, 0, 2, b'\1'),
    'too-many-fds': attached() + packet(RESET, b'', 0x2f),
    'own-socket': attached() + packet(DMA, b'\0' * 16, SOCKET << 4 | 1),
}


def main():
    folder = pathlib.Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for name, script in SEEDS.items():
        (folder / name).write_bytes(script)


if __name__ == '__main__':
    main()
