#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Write the seeds of fuzz_session: short conversations that each reach one corner of a session.

The layout of an input is described in fuzz_session.c. Seeds are little-endian. Files that a fuzzer
has found are kept beside the seeds, under names of their own.
"""

import argparse
import pathlib
import struct

# The order of the operations in fuzz_session.c.
(NEGOTIATE, REQUEST, SEND_ALL, ANSWER, HAND_OUT, SENT, TICK, COMMAND, FEED_RAW, POST_MANY, DRAIN,
 END, LOST) = range(13)

# The kinds of a request, and what its callback does.
READ, WRITE, POST, ANY = range(4)
THEN_REQUEST, THEN_DRAIN, THEN_END, THEN_TAKE_FD = range(1, 5)

# How the server answers.
ERROR, WRONG = 1, 2

GET_REGION_INFO, SET_IRQS, RESET = 5, 8, 13


def config(slots=2, segment=2, twin=False, fds=8):
    return bytes([slots | segment << 3 | twin << 5, fds])


def access(kind, count=4, then=0):
    return bytes([REQUEST, kind | then << 2, count, 2, 0x10])


def any_command(cmd, fds=0, no_reply=False, then=0, extra=0):
    return bytes([REQUEST, ANY | then << 2, no_reply | fds << 1, cmd, extra])


def answer(which=0, how=0, json=0, detail=b'', cut=0, fds=0):
    return bytes([ANSWER, which, how | json << 3]) + detail + bytes([cut, fds])


def command(write=False, no_reply=False, length=8, cut=0, fds=0):
    size = bytes([length]) if write else b''
    return bytes([COMMAND, write | no_reply << 1]) + size + bytes([cut, fds])


def raw(data, cut=0, fds=0):
    return bytes([FEED_RAW, len(data)]) + data + bytes([cut, fds])


def tick(*steps):
    return b''.join(bytes([TICK, step]) for step in steps)


def header(msg_id=0, cmd=1, size=16, flags=1, error=0):
    return struct.pack('<HHIII', msg_id, cmd, size, flags, error)


READY = bytes([NEGOTIATE])
SEND = bytes([SEND_ALL])
EXPIRE = tick(1, 100)


def seeds():
    read = access(READ) + SEND
    info = any_command(GET_REGION_INFO) + SEND
    full = access(READ) * 5 + SEND
    scripts = {
        'version-refused': SEND + answer(how=ERROR, detail=b'\x16'),
        'version-in-pieces': SEND + answer(cut=20, fds=1),
        'version-small-limits': SEND + answer(json=1) + access(WRITE, 17) + access(WRITE, 16),
        'version-twin-not-asked': SEND + answer(json=2, fds=1),
        'version-timeout': SEND + EXPIRE,
        'version-wrong-byte': SEND + answer(how=WRONG, detail=bytes([4, 1])),
        'read': READY + read + answer(),
        'read-in-pieces': READY + read + answer(cut=17),
        'read-error': READY + read + answer(how=ERROR, detail=b'\x05'),
        'read-wrong-offset': READY + read + answer(how=WRONG, detail=bytes([16, 1])),
        'read-late': READY + read + EXPIRE + answer(),
        'write': READY + access(WRITE) + SEND + answer(),
        'posted': READY + access(POST) * 3 + SEND,
        'pipeline': READY + full + answer(3) + answer(1) + answer(2) + answer(0),
        'table-full-expired': READY + full + EXPIRE,
        'info-with-fds': READY + info + answer(cut=20, fds=2),
        'info-fd-taken': READY + any_command(GET_REGION_INFO, then=THEN_TAKE_FD) + SEND
                         + answer(fds=1),
        'info-too-many-fds': READY + info + answer(fds=19),
        'reset-with-fds': READY + any_command(RESET) + SEND + answer(fds=1),
        'irqs-with-fds': READY + any_command(SET_IRQS, fds=3) * 2 + access(POST) + SEND
                         + answer(1),
        'command': READY + command() + SEND,
        'command-no-reply': READY + command(write=True, no_reply=True),
        'command-between': READY + read + command(write=True, length=40) + answer(),
        'command-with-fds': READY + command(fds=1),
        'commands-overlap': READY + (command() + bytes([HAND_OUT, SENT])) * 8,
        'handed-out': READY + access(POST) + bytes([HAND_OUT]) + access(READ) + bytes([SENT])
                      + SEND + answer(),
        'buffer-full': READY + bytes([POST_MANY, 255]) * 3 + command() + SEND,
        'drain': READY + read + bytes([DRAIN]) + command() + answer() + SEND,
        'drain-in-callback': READY + access(READ, then=THEN_DRAIN) + SEND + answer(),
        'request-in-callback': READY + access(READ, then=THEN_REQUEST) + SEND + answer()
                               + bytes([READ, 4, 2, 0x10]) + SEND + answer(),
        'end-in-callback': READY + access(READ, then=THEN_END) + access(READ) + SEND + answer(1),
        'end': READY + full + bytes([END]),
        'lost': READY + full + bytes([LOST, 0]),
        'lost-broken': READY + read + raw(header(4, 9, 36)[:9]) + bytes([LOST, 32]),
        'raw-unknown-id': READY + raw(header(msg_id=9)),
        'raw-flags': READY + raw(header(flags=0x40), fds=3),
        'raw-size': SEND + raw(header(size=0xffffffff)),
    }
    return {name: config() + script for name, script in scripts.items()} | {
        'one-slot': config(slots=0) + READY + (read + answer()) * 3,
        'twin': config(twin=True) + SEND + answer(json=2, fds=1),
        'short-segments': config(slots=4, segment=0) + READY + access(WRITE, 200) * 4 + SEND,
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
