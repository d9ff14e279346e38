#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Write the seeds of the wire fuzz targets: real messages, and some that are just off.

The layout of an input is described at the top of each fuzz_wire_*.c. Seeds are little-endian.
Files that a fuzzer has found are kept beside the seeds, under names of their own.
"""

import argparse
import pathlib
import struct

PCI = 1 << 1
SPARSE, TYPE = 1, 2
FLAG_CAPS = 1 << 3
GET, SET, PROBE = 1 << 16, 1 << 17, 1 << 18
PAGE = 4096

# The order of the decoders in fuzz_wire_messages.c.
MESSAGES = [
    'device-info', 'irq-info', 'region-read', 'region-write', 'write-multi', 'unmap', 'unmap-all',
    'unmap-dirty', 'dma-read', 'dma-write', 'io-fds', 'probe', 'migration', 'state-get',
    'state-set', 'logging-start', 'logging-stop', 'logging-report', 'mig-data',
]


def version(text, nul=b'\0', minor=1):
    return struct.pack('<HH', 0, minor) + text.encode() + nul


def version_seeds():
    caps = '{"capabilities":{%s}}'
    yield 'no-data', struct.pack('<HH', 0, 1)
    yield 'empty', version('{}')
    yield 'empty-capabilities', version(caps % '')
    yield 'libvfio-user', version(
        '{ "capabilities": { "max_msg_fds": 8, "max_data_xfer_size": 1048576, '
        '"migration": { "pgsize": 4096 } } }')
    yield 'all', version(
        caps % '"max_msg_fds":16,"max_data_xfer_size":65536,"max_dma_maps":65535,'
        '"pgsizes":2101248,"twin_socket":{"supported":true,"fd_index":0},'
        '"write_multiple":true', minor=2)
    yield 'twin-socket-unsupported', version(caps % '"twin_socket":{"supported":false}')
    yield 'unknown', version('{"x":[1,2.5e3,null,"\\u00e9\\n"],"capabilities":{"y":{"z":{}}}}')
    yield 'twice', version(caps % '"max_msg_fds":1,"max_msg_fds":2')
    yield 'twice-escaped', version(caps % '"pgsizes":1,"pgsize\\u0073":2')
    yield 'negative', version(caps % '"max_msg_fds":-1')
    yield 'huge', version(caps % '"pgsizes":99999999999999999999')
    yield 'double', version(caps % '"max_dma_maps":1.0')
    yield 'single-quotes', version("{'capabilities':{}}")
    yield 'not-a-number', version(caps % '"max_msg_fds":NaN')
    yield 'deep', version('[' * 20 + ']' * 20)
    yield 'no-nul', version('{}', nul=b'')
    yield 'nul-inside', version('{\0}')
    yield 'trailing', version('{} {}')


def region(caps=b'', flags=0, cap_offset=0, index=1, argsz=None, asked=4096, size=0x10000):
    argsz = 32 + len(caps) if argsz is None else argsz
    info = struct.pack('<IIIIQQ', argsz, flags, index, cap_offset, size, 0)
    return struct.pack('<II', 1, asked) + info + caps


def cap(ident, following, body=b''):
    return struct.pack('<HHI', ident, 1, following) + body


def areas(*pairs):
    return struct.pack('<II', len(pairs), 0) + b''.join(struct.pack('<QQ', *p) for p in pairs)


def region_info_seeds():
    def chain(caps, cap_offset=32, **more):
        return region(caps, flags=7 | FLAG_CAPS, cap_offset=cap_offset, **more)

    sparse = cap(SPARSE, 0, areas((0x1000, 0x1000), (0x4000, 0x2000)))
    kind = struct.pack('<II', 0x80008086, 1)
    yield 'plain', region(flags=3)
    yield 'none', region(size=0)
    yield 'sparse', chain(sparse)
    yield 'sparse-no-areas', chain(cap(SPARSE, 0, areas()))
    yield 'type', chain(cap(TYPE, 0, kind))
    yield 'three', chain(cap(77, 48, b'12345678') + cap(TYPE, 64, kind) + sparse)
    yield 'misaligned', chain(b'x' + cap(TYPE, 0, kind), cap_offset=33)
    yield 'truncated', region(flags=3, argsz=80, asked=32)
    yield 'loop', chain(cap(77, 32))
    yield 'backwards', chain(cap(77, 40) + cap(78, 32))
    yield 'twice', chain(cap(TYPE, 48, kind) + cap(TYPE, 0, kind))
    yield 'overlap', chain(cap(SPARSE, 0, areas((0, 0x2000), (0x1000, 0x1000))))
    yield 'area-overflow', chain(cap(SPARSE, 0, areas(((1 << 64) - 1, 2))))
    yield 'nr-areas-overflow', chain(cap(SPARSE, 0, struct.pack('<IIQQ', 1 << 28, 0, 0, 1)))
    yield 'short-cap', chain(cap(TYPE, 0, b'1234'))
    yield 'other-index', region(index=2)


def message(name, request=b'', body=b''):
    return bytes([MESSAGES.index(name)]) + request + body


def feature(flags, data=b'', more=b''):
    return struct.pack('<II', 8 + len(data), flags) + data + more


def io_fds(subs, stride, argsz=None, asked=4096, fds=2):
    argsz = 16 + stride * len(subs) if argsz is None else argsz
    body = struct.pack('<IIII', argsz, 0, 2, len(subs))
    body += b''.join(sub.ljust(stride, b'\0') for sub in subs)
    return message('io-fds', struct.pack('<IIQB', 2, asked, PAGE, fds), body)


def message_seeds():
    yield 'device-info', message(
        'device-info', body=struct.pack('<IIII', 16, PCI | 1, 9, 5))
    yield 'irq-info', message(
        'irq-info', struct.pack('<I', 2), struct.pack('<IIII', 16, 1, 2, 32))

    access = struct.pack('<IIQ', 0, 4, 0x14)
    fixed = struct.pack('<QII', 0x14, 0, 4)
    yield 'region-read', message('region-read', access, fixed + b'\1\2\3\4')
    yield 'region-read-short', message('region-read', access, fixed + b'\1\2\3')
    yield 'region-write', message('region-write', access, fixed)
    yield 'write-multi', message('write-multi', struct.pack('<I', 3), struct.pack('<Q', 3))

    where = struct.pack('<QQ', 1 << 32, 65 * PAGE)
    bitmap = struct.pack('<QQ', (1 << 63) | 1, 1)
    yield 'unmap', message('unmap', where, struct.pack('<II', 24, 0) + where)
    yield 'unmap-no-dma', message('unmap', where)
    yield 'unmap-all', message('unmap-all', body=struct.pack('<IIQQ', 24, 2, 0, 0))
    yield 'unmap-dirty', message(
        'unmap-dirty', where + struct.pack('<Q', PAGE),
        struct.pack('<II', 56, 1) + where + struct.pack('<QQ', PAGE, 16) + bitmap)
    yield 'dma-read', message('dma-read', struct.pack('<I', 64), struct.pack('<QQ', PAGE, 64))
    yield 'dma-read-over', message('dma-read', struct.pack('<I', 64), struct.pack('<QQ', PAGE, 65))
    yield 'dma-write', message(
        'dma-write', struct.pack('<I', 64), struct.pack('<QQ', PAGE, 4) + b'data')

    event = struct.pack('<QQIIIIQQ', 8, 4, 0, 0, 1, 0, 0, 77)
    shadow = struct.pack('<QQIIIIQQ', 16, 8, 0, 2, 0, 1, 0x1000, 0)
    no_fd = struct.pack('<QQIIIIQQ', 32, 8, 0xffffffff, 0, 0, 0, 0, 0)
    other = struct.pack('<QQIIIIQ', 0, PAGE, 1, 1, 2, 0, 55)
    yield 'io-fds', io_fds([event, shadow, no_fd, other], 48)
    yield 'io-fds-short', io_fds([other, other], 40)
    yield 'io-fds-none', io_fds([], 48)
    yield 'io-fds-truncated', io_fds([], 48, argsz=64, asked=16)
    yield 'io-fds-no-such-fd', io_fds([event, shadow], 48, fds=1)

    yield 'probe', message('probe', struct.pack('<I', SET | 6), feature(PROBE | SET | 6))
    yield 'migration', message('migration', body=feature(GET | 1, struct.pack('<Q', 5)))
    yield 'state-get', message('state-get', body=feature(GET | 2, struct.pack('<II', 2, 0)))
    yield 'state-set', message('state-set', b'\3', feature(SET | 2, struct.pack('<II', 3, 0)))
    yield 'logging-start', message(
        'logging-start', struct.pack('<I', 1),
        feature(SET | 6, struct.pack('<QIIQQ', PAGE, 1, 0, 0, 1 << 30)))
    yield 'logging-stop', message('logging-stop', body=feature(SET | 7))
    yield 'logging-report', message(
        'logging-report', where + struct.pack('<Q', PAGE),
        feature(GET | 8, where + struct.pack('<Q', PAGE) + bitmap))
    yield 'mig-data', message(
        'mig-data', struct.pack('<I', 8), struct.pack('<II', 13, 5) + b'state')
    yield 'mig-data-padded', message(
        'mig-data', struct.pack('<I', 8), struct.pack('<II', 13, 5) + b'state\0\0\0')


def main():
    parser = argparse.ArgumentParser(description=__doc__.split('\n', maxsplit=1)[0])
    parser.add_argument('corpus', nargs='?', type=pathlib.Path,
                        default=pathlib.Path(__file__).parent / 'corpus')
    corpus = parser.parse_args().corpus
    seeds = {
        'wire_version': version_seeds,
        'wire_region_info': region_info_seeds,
        'wire_messages': message_seeds,
    }
    for target, generate in seeds.items():
        folder = corpus / target
        folder.mkdir(parents=True, exist_ok=True)
        for name, data in generate():
            (folder / name).write_bytes(data)


if __name__ == '__main__':
    main()
