#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Write the seeds of fuzz_front: what stock VMMs send, and what a hostile one might.

The layout of an input is described in fuzz_front.c. Seeds are little-endian. Files that a fuzzer
has found are kept beside the seeds, under names of their own.
"""

import argparse
import pathlib
import struct

# The order of the operations in fuzz_front.c.
(RAW, COMMAND, FLOOD, NEGOTIATE, NEXT, ANSWER, ANSWER_ALL, SEND, SEND_ALL, WAIT, EXPIRE, STRAYS,
 CONFIG, END) = range(14)

(VERSION, DMA_MAP, DMA_UNMAP, GET_INFO, GET_REGION_INFO, IO_FDS, GET_IRQ_INFO, SET_IRQS, READ,
 WRITE, _, _, RESET, _, WRITE_MULTI, FEATURE, MIG_READ, MIG_WRITE) = range(1, 19)

NO_REPLY = 0x10
SHORT, READY = 1, 2  # of the configuration: 1 ms for a reply; a minor version follows, agreed upon


def command(cmd, body=b'', number=1, flags=0, fds=0, size=None, cut=0):
    size = len(body) if size is None else size
    how = fds | (0x80 if cut else 0)
    return (bytes([COMMAND, number, cmd, flags]) + struct.pack('<I', size) + bytes([len(body)]) +
            body + bytes([how, cut]))


def raw(data, fds=0, cut=0):
    return bytes([RAW, len(data)]) + data + bytes([fds | (0x80 if cut else 0), cut])


def header(number=1, cmd=READ, size=16, flags=0):
    return struct.pack('<HHIII', number, cmd, size, flags, 0)


def access(region, offset, count, data=b''):
    return struct.pack('<QII', offset, region, count) + data


def dma_map(addr=0, size=4096, offset=0, flags=3, argsz=32):
    return struct.pack('<IIQQQ', argsz, flags, offset, addr, size)


def unmap(addr=0, size=4096, flags=0):
    return struct.pack('<IIQQ', 24, flags, addr, size)


def region(index, argsz=32):
    return struct.pack('<IIIIQQ', argsz, 0, index, 0, 0, 0)


def irqs(flags, index, start, count, data=b''):
    return struct.pack('<IIIII', 20 + len(data), flags, index, start, count) + data


def feature(flags, data=b'', room=0):
    return struct.pack('<II', 8 + room, flags) + data


GET, SET, PROBE = 1 << 16, 1 << 17, 1 << 18

GO = bytes([NEXT, ANSWER_ALL, SEND_ALL, STRAYS])
LATE = bytes([WAIT, 31]) * 2 + bytes([WAIT, 3, EXPIRE, SEND_ALL])


def seeds():
    read = command(READ, access(0, 0, 4))
    scripts = {
        'read': read + GO,
        'write': command(WRITE, access(0, 8, 4, b'abcd')) + GO,
        'posted': command(WRITE, access(0, 8, 4, b'abcd'), flags=NO_REPLY) + GO,
        'read-config': command(READ, access(7, 0, 4096)) + GO,
        'read-too-much': command(READ, access(0, 0, 4097)) + command(READ, access(0, 4093, 4)) + GO,
        'read-in-pieces': command(READ, access(0, 0, 4), cut=9) + GO,
        'reads-out-of-order': b''.join(command(READ, access(0, 0, 4), number=i) for i in range(4))
                              + bytes([NEXT, ANSWER, 2, 0, ANSWER, 0, 5, SEND, 17]) + GO,
        'same-number': read + read + GO,
        'multi': command(WRITE_MULTI, struct.pack('<Q', 1) + access(0, 0, 8, b'12345678')) + GO,
        'map': command(DMA_MAP, dma_map(), fds=1) + GO,
        'map-rom': command(DMA_MAP, dma_map(flags=1)) + GO,
        'map-two-fds': command(DMA_MAP, dma_map(), fds=2) + GO,
        'map-overflow': command(DMA_MAP, dma_map(addr=(1 << 64) - 4096, size=8192), fds=1) + GO,
        'maps-and-unmap': command(DMA_MAP, dma_map(), fds=1) + command(DMA_MAP, dma_map(8192), 2, fds=1)
                          + command(DMA_UNMAP, unmap(), 3) + bytes([NEXT, ANSWER, 0, 17, NEXT]) + GO * 2,
        'unmap-all': command(DMA_UNMAP, unmap(0, 0, 2)) + GO,
        'info': command(GET_INFO, struct.pack('<IIII', 32, 0, 0, 0)) + GO,
        'regions': b''.join(command(GET_REGION_INFO, region(i), number=i) for i in range(10)) + GO * 4,
        'region-in-full': command(GET_REGION_INFO, region(4, 80)) + GO,
        'region-fails': command(GET_REGION_INFO, region(2)) + bytes([NEXT, ANSWER, 0, 5, SEND_ALL]),
        'irq-info': command(GET_IRQ_INFO, struct.pack('<IIII', 16, 0, 2, 0)) + GO,
        'eventfds': command(SET_IRQS, irqs(0x24, 2, 0, 16), fds=16) + GO,
        'eventfd-none': command(SET_IRQS, irqs(0x24, 2, 0, 1)) + GO,
        'eventfd-indexes': command(SET_IRQS, irqs(0x24, 2, 0, 3, struct.pack('<iii', 0, -1, 1)), fds=2)
                           + GO,
        'bools': command(SET_IRQS, irqs(0x22, 2, 0, 3, b'\1\0\1')) + GO,
        'disable': command(SET_IRQS, irqs(0x21, 2, 0, 0)) + command(SET_IRQS, irqs(0x21, 1, 0, 0), 2) + GO,
        'unmask': command(SET_IRQS, irqs(0x11, 0, 0, 1)) + GO,
        'reset': command(RESET) + GO,
        'reset-waits': read + command(RESET, number=2) + bytes([NEXT, NEXT]) + GO * 2,
        'unknown': command(99, b'12345678') + command(FEATURE, b'12345678', 2) + GO,
        'feature-probe': command(FEATURE, feature(PROBE | GET | SET | 2)) + GO,
        'feature-get': command(FEATURE, feature(GET | 1, room=8)) + GO,
        'feature-both': command(FEATURE, feature(GET | SET | 2, bytes(8), 8)) + GO,
        'state': command(FEATURE, feature(SET | 2, struct.pack('<II', 4, 0), 8))
                 + command(FEATURE, feature(GET | 2, room=8), 2) + GO * 2,
        'log-start': command(FEATURE, feature(SET | 6, struct.pack('<QIIQQQQ', 4096, 2, 0, 0, 4096, 8192,
                                                                   4096), 48)) + GO,
        'log-more-ranges': command(FEATURE, feature(SET | 6, struct.pack('<QIIQQ', 4096, 0x10000001, 0, 0,
                                                                         4096), 48)) + GO,
        'log-stop': command(FEATURE, feature(SET | 7)) + GO,
        'log-report': command(FEATURE, feature(GET | 8, struct.pack('<QQQ', 0, 65 * 4096, 4096), 40)) + GO,
        'log-report-all': command(FEATURE, feature(GET | 8, struct.pack('<QQQ', 0, (1 << 64) - 1, 1),
                                                   0xfffffff0)) + GO,
        'mig-read': command(MIG_READ, struct.pack('<II', 4104, 4096)) + GO,
        'mig-read-fails': command(MIG_READ, struct.pack('<II', 16, 8)) + bytes([NEXT, ANSWER, 0, 5, SEND_ALL]),
        'mig-read-too-much': command(MIG_READ, struct.pack('<II', 8192, 4097)) + GO,
        'mig-write': command(MIG_WRITE, struct.pack('<II', 12, 4) + b'abcd') + GO,
        'mig-write-of-less': command(MIG_WRITE, struct.pack('<II', 12, 3) + b'abcd') + GO,
        'mig-late': command(MIG_READ, struct.pack('<II', 16, 8)) + command(MIG_READ, struct.pack('<II', 16, 8),
                    number=2) + bytes([NEXT]) + LATE + bytes([ANSWER_ALL, SEND_ALL]),
        'io-fds': command(IO_FDS, struct.pack('<IIII', 16, 0, 0, 0)) + GO,
        'version-again': bytes([NEGOTIATE, 1]) + GO,
        'too-many-fds': read + command(READ, access(0, 0, 4), fds=63) + GO,
        'fds-of-waiting': command(RESET) + command(DMA_MAP, dma_map(), 2, fds=1) + bytes([NEXT, END, 1]),
        'size': raw(header(size=15)) + GO,
        'huge': raw(header(size=0xffffffff)) + GO,
        'reply': raw(header(flags=1)) + GO,
        'half': raw(header(size=32)) + LATE + GO,
        'late': read + bytes([NEXT]) + LATE + bytes([ANSWER_ALL, SEND_ALL]),
        'too-late': read + bytes([NEXT]) + bytes([WAIT, 31]) * 4 + bytes([EXPIRE]),
        'waits-in-vain': command(RESET) + command(READ, access(0, 0, 4), number=2) + bytes([NEXT]) + LATE,
        'takes-no-replies': bytes([FLOOD, READ, 16]) + access(7, 0, 4096) + bytes([200, NEXT, ANSWER_ALL])
                            + bytes([NEXT, ANSWER_ALL, SEND, 0]) + LATE,
        'flood': (bytes([FLOOD, READ, 16]) + access(0, 0, 4) + bytes([100, NEXT])) * 3 + GO * 3,
        'flood-of-maps': bytes([FLOOD, DMA_MAP, 32]) + dma_map() + bytes([255]) + GO * 5,
        'bars': bytes([CONFIG, 0x10, 23, 1]) + bytes([255] * 24) + bytes([CONFIG, 0, 127, 0]),
        'end': read + bytes([NEXT, END, 0, ANSWER_ALL, SEND_ALL]),
    }
    return {name: bytes([READY, 1]) + script for name, script in scripts.items()} | {
        'version-qemu': bytes([0, NEGOTIATE, 0]) + read + GO,
        'version-cloud-hypervisor': bytes([0, NEGOTIATE, 1]) + command(READ, access(9, 0, 4)) + GO,
        'version-alioth': bytes([0, NEGOTIATE, 2]) + command(READ, access(9, 0, 4)) + GO,
        'version-garbage': bytes([0]) + command(VERSION, struct.pack('<HH', 0, 1) + b'{"x":') + GO,
        'version-major': bytes([0]) + command(VERSION, struct.pack('<HH', 1, 1)) + GO,
        'version-with-fds': bytes([0]) + command(VERSION, struct.pack('<HH', 0, 1), fds=3) + GO,
        'before-version': bytes([0]) + read + GO,
        'silence': bytes([4]) + LATE,
        'short-time': bytes([READY | SHORT, 2]) + read + bytes([NEXT, WAIT, 1, EXPIRE]) + GO,
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('corpus', type=pathlib.Path, help='folder that the seeds are written to')
    folder = parser.parse_args().corpus
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in seeds().items():
        (folder / name).write_bytes(data)


if __name__ == '__main__':
    main()
