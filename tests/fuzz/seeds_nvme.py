#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Write the seeds of fuzz_nvme: drivers that each reach one corner of the controller.

The layout of an input is described in fuzz_nvme.c. Seeds are little-endian. Files that a fuzzer has
found are kept beside the seeds, under names of their own.
"""

import argparse
import pathlib
import struct

# The order of the operations in fuzz_nvme.c.
(REGISTER, ACCESS, MEMORY, PRP_LIST, ENABLE, QUEUES, COMMAND, RAW_COMMAND, RING, POLL,
 TAKE_COMPLETIONS, ANSWER, UNMAP, IRQS, RESET, DISCONNECT) = range(16)

# How the driver and the controller talk.
BY_FILE, BY_MESSAGE, BY_MMAP, NO_COMMAND, SMALL_XFER = 0, 1, 2, 4, 8

# The order of the registers in fuzz_nvme.c.
CAP, VS, INTMS, INTMC, CC, CSTS, AQA = range(7)

ADMIN, IO, MAPPED = 0, 1, 0x80

DELETE_SQ, CREATE_SQ, GET_LOG, DELETE_CQ, CREATE_CQ, IDENTIFY = 0, 1, 2, 4, 5, 6
ABORT, SET_FEATURES, GET_FEATURES, EVENT_REQUEST = 8, 9, 10, 12
FLUSH, WRITE, READ, WRITE_ZEROES, DATASET = 0, 1, 2, 8, 9


def register(index, value):
    return struct.pack('<BBI', REGISTER, index, value)


def access(offset, count, data=b'', config=False):
    how = bool(data) | config << 1
    return struct.pack('<BBIB', ACCESS, how, offset, len(data) if data else count) + data


def memory(page, offset, data):
    return struct.pack('<BIB', MEMORY, page * 4096 + offset, len(data)) + data


def prp_list(page, at, first, count):
    return bytes([PRP_LIST, page, at, first, count])


def command(queue, opcode, cid=1, nsid=0, prps=(20, 21), offsets=(0, 0), cdw=(0, 0, 0)):
    return (bytes([COMMAND, queue, opcode, cid, nsid, offsets[0] | offsets[1] << 4, *prps])
            + struct.pack('<III', *cdw))


def io(opcode, blocks=1, lba=0, queue=IO, **kwargs):
    return command(queue, opcode, nsid=1, cdw=(lba, 0, blocks - 1), **kwargs)


def ring(index, value, mapped=False):
    return struct.pack('<BBI', RING, index | mapped << 7, value)


def answer(which=0, how=0):
    return bytes([ANSWER, which, how])


def unmap(readable=False):
    return bytes([UNMAP, readable])


def irqs(index, start):
    return bytes([IRQS, index, start])


RUN = bytes([POLL, TAKE_COMPLETIONS])
ON = bytes([ENABLE])
READY = ON + bytes([QUEUES, 1])
PAGE_OF_LIST = 24


def seeds():
    by_list = prp_list(PAGE_OF_LIST, 0, 25, 20) + READY
    by_message = ON + command(ADMIN, IDENTIFY, cdw=(1, 0, 0)) + bytes([POLL])
    scripts = {
        'registers': b''.join(register(i, 0x01020304) for i in range(11)) + access(0, 4)
                     + access(8, 8) + access(0x14, 3) + access(0x1000, 4) + access(0x2000, 64),
        'config-space': access(4, 2, b'\x06\x04', config=True) + access(0, 64, config=True)
                        + access(0x69, 1, b'\x80', config=True),
        'msix': irqs(2, 1) + access(0x2010, 16, bytes(range(16))) + access(0x3000, 8) + READY
                + io(FLUSH) + RUN,
        'enable-twice': ON + register(CC, 0) + ON + register(CC, 0x460000 | 1 << 14),
        'enable-without-queues': register(AQA, 0) + register(CC, 1) + access(0x1c, 4),
        'identify': ON + b''.join(command(ADMIN, IDENTIFY, nsid=n, cdw=(c, 0, 0)) + RUN
                                  for c in range(5) for n in (0, 1, 255)),
        'features': ON + b''.join(command(ADMIN, op, cdw=(f, v, 0)) + RUN
                                  for f in range(13) for op, v in ((SET_FEATURES, 3),
                                                                   (GET_FEATURES, 0))),
        'logs': ON + command(ADMIN, 0xff) + RUN + b''.join(
            command(ADMIN, GET_LOG, cdw=(127 << 16 | log, 0, off)) + RUN
            for log in range(5) for off in (0, 4, 3, 512)),
        'events': ON + command(ADMIN, SET_FEATURES, cdw=(11, 2, 0))
                  + command(ADMIN, EVENT_REQUEST, cid=9) * 5 + RUN
                  + command(ADMIN, SET_FEATURES, cdw=(4, 1, 0)) + RUN + RUN
                  + ring(0, 77) + RUN + command(ADMIN, GET_LOG, cdw=(15 << 16 | 1, 0, 0)) + RUN,
        'abort': ON + command(ADMIN, EVENT_REQUEST, cid=9) + RUN
                 + command(ADMIN, ABORT, cdw=(9 << 16, 0, 0)) + RUN
                 + command(ADMIN, ABORT, cdw=(9 << 16, 0, 0)) + RUN,
        'queues': READY + command(ADMIN, DELETE_CQ, cdw=(1, 0, 0)) + RUN
                  + command(ADMIN, DELETE_SQ, cdw=(1, 0, 0)) + RUN
                  + command(ADMIN, DELETE_CQ, cdw=(1, 0, 0)) + RUN
                  + command(ADMIN, CREATE_CQ, cdw=(7 << 16 | 1, 99 << 16 | 3, 0)) + RUN
                  + command(ADMIN, CREATE_SQ, offsets=(1, 0), cdw=(7 << 16 | 1, 2 << 16 | 1, 0))
                  + RUN,
        'write-read': READY + memory(20, 0, b'data' * 60) + io(WRITE, blocks=8) + RUN
                      + io(READ, blocks=8, prps=(30, 31)) + RUN,
        'two-pages': READY + io(WRITE, blocks=16, offsets=(2, 0)) + RUN + io(READ, 9) + RUN,
        'list': by_list + io(WRITE, 128, prps=(20, PAGE_OF_LIST)) + RUN
                + io(READ, 128, prps=(20, PAGE_OF_LIST)) + RUN,
        'lists': prp_list(PAGE_OF_LIST, 60, 8, 32) + prp_list(39, 0, 8, 40) + READY
                 + io(READ, 512, prps=(20, PAGE_OF_LIST), offsets=(1, 15)) + RUN,
        'same-pages': prp_list(PAGE_OF_LIST, 0, 25, 1) * 3 + READY
                      + io(WRITE, 24, prps=(24, PAGE_OF_LIST)) + RUN,
        'wrong-list': memory(PAGE_OF_LIST, 0, struct.pack('<QQ', 25 * 4096, 26 * 4096 + 8)) + READY
                      + io(WRITE, 32, prps=(20, PAGE_OF_LIST)) + RUN
                      + io(WRITE, 32, prps=(20, 250)) + RUN,
        'wrong-prps': READY + io(READ, 8, prps=(20, 21), offsets=(1, 1)) + RUN
                      + io(READ, 8, prps=(55, 21)) + RUN + io(READ, 8, prps=(200, 21)) + RUN,
        'beyond-the-end': READY + io(READ, 2, lba=4095) + RUN + io(WRITE_ZEROES, 65536) + RUN
                          + io(WRITE, 4096, prps=(20, 30)) + RUN
                          + io(WRITE, 1, lba=0xffffffff) + RUN,
        'zeroes': READY + io(WRITE_ZEROES, 4, lba=2) + RUN,
        'dataset': READY + memory(20, 0, struct.pack('<IIQ', 0, 8, 4) * 3)
                   + command(IO, DATASET, nsid=1, cdw=(2, 4, 0)) + RUN
                   + memory(20, 0, struct.pack('<IIQ', 0, 8, 1 << 62))
                   + command(IO, DATASET, nsid=1, cdw=(0, 4, 0)) + RUN,
        'through': READY + command(IO, WRITE, nsid=1, cdw=(0, 0, 1 << 30)) + RUN,
        'wrong-doorbells': READY + ring(2, 8) + ring(3, 5) + ring(120, 1)
                           + ring(2, 9, mapped=True) + RUN,
        'mapped-doorbell': READY + io(FLUSH, queue=IO | MAPPED) + RUN,
        'unmapped': READY + unmap() + io(READ) + RUN + unmap() + RUN,
        'reset-meanwhile': READY + io(READ, 8) + bytes([RESET]) + RUN,
        'disconnect': READY + io(READ, 8) + bytes([DISCONNECT]) + RUN + ON,
        'raw': ON + bytes([RAW_COMMAND, 0]) + bytes(range(64)) + RUN,
    }
    message_scripts = {
        'answered': by_message + answer() * 12 + RUN,
        'answered-with-errors': by_message + answer(how=1 | 5 << 3) + RUN,
        'answered-wrongly': by_message + answer(how=2 | 1 << 3) + ON,
        'answered-too-short': by_message + answer() + bytes([POLL]) + answer(how=4) + ON,
        'disabled-meanwhile': by_message + answer() + register(CC, 0) + answer() * 4 + ON,
        'reset-meanwhile': by_message + bytes([RESET]) + answer() * 4,
    }
    files = {name: bytes([BY_FILE]) + data for name, data in scripts.items()}
    for name in ('write-read', 'list', 'wrong-prps'):
        files[f'{name}-by-mmap'] = bytes([BY_MMAP]) + scripts[name]
    files['list-without-commands'] = bytes([BY_MESSAGE | NO_COMMAND]) + scripts['list']
    for how, suffix in ((BY_MESSAGE, ''), (BY_MESSAGE | SMALL_XFER, '-small')):
        for name, data in message_scripts.items():
            files[f'message-{name}{suffix}'] = bytes([how]) + data
    return files


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('corpus', type=pathlib.Path, help='folder that the seeds are written to')
    folder = parser.parse_args().corpus
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in seeds().items():
        (folder / name).write_bytes(data)


if __name__ == '__main__':
    main()
