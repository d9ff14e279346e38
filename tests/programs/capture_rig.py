# SPDX-License-Identifier: BSD-3-Clause
"""Captures: read and written here without any library, and decoded by tshark with the dissector."""

import os
import shutil
import struct
import tempfile
from typing import NamedTuple

import pytest

import rig
from vfio_client import message

LINKTYPE = 157
SECTION, INTERFACE, STATISTICS, PACKET = 0x0a0d0d0a, 1, 5, 6  # blocks
FROM_SERVER, TO_SERVER = 0, 1  # directions
TWIN = 2
NOBODY = 65534

with_tshark = pytest.mark.skipif(not shutil.which('tshark'), reason='tshark is not installed')


class Packet(NamedTuple):
    """A message of a capture. dropped: those before it."""
    sent: bool
    twin: bool
    fds: int
    connection: int
    dropped: int
    time_ns: int
    size: int  # of the whole message
    bytes: bytes

    @property
    def id(self):
        return struct.unpack_from('<H', self.bytes)[0]

    @property
    def cmd(self):
        return struct.unpack_from('<H', self.bytes, 2)[0]

    @property
    def is_reply(self):
        return struct.unpack_from('<I', self.bytes, 8)[0] & 0xf == 1


def read_options(data):
    options, at = {}, 0
    while at < len(data):
        code, size = struct.unpack_from('<HH', data, at)
        if code == 0:
            assert (size, at + 4) == (0, len(data))
            break
        options[code] = data[at + 4:at + 4 + size]
        at += 4 + (size + 3 & ~3)
    return options


def read_blocks(data):
    """The types and bodies of blocks; the last one may be incomplete."""
    at = 0
    while at + 12 <= len(data):
        kind, size = struct.unpack_from('<II', data, at)
        assert size % 4 == 0 and size >= 12
        if at + size > len(data):
            return
        assert struct.unpack_from('<I', data, at + size - 4)[0] == size
        yield kind, data[at + 8:at + size - 4]
        at += size


def read_packet(body, snaplen):
    interface, high, low, captured, size = struct.unpack_from('<IIIII', body)
    data, options = body[20:20 + captured], read_options(body[20 + (captured + 3 & ~3):])
    version, flags, fds, connection, dropped = struct.unpack_from('<BBHII', data)
    assert (interface, version, flags & ~3) == (0, 1, 0)
    assert captured == min(size, snaplen)
    assert struct.unpack('<I', options[2])[0] == (2 if flags & TO_SERVER else 1)
    assert dropped == struct.unpack('<Q', options.get(4, bytes(8)))[0]
    return Packet(bool(flags & TO_SERVER), bool(flags & TWIN), fds, connection, dropped,
                  high << 32 | low, size - 12, data[12:])


class Capture:
    """A file. .packets: its messages; .dropped, .received: in all, None for one without an end."""

    def __init__(self, path):
        self.path, self.packets, self.dropped, self.received = path, [], None, None
        with open(path, 'rb') as file:
            blocks = list(read_blocks(file.read()))
        assert [kind for kind, _ in blocks[:2]] == [SECTION, INTERFACE]
        assert blocks[0][1].startswith(struct.pack('<IHHq', 0x1a2b3c4d, 1, 0, -1))
        linktype, self.snaplen = struct.unpack_from('<HxxI', blocks[1][1])
        assert linktype == LINKTYPE
        options = read_options(blocks[1][1][8:])
        self.source = options[2].decode()
        assert options[9] == b'\x09'  # ns
        for kind, body in blocks[2:]:
            assert self.dropped is None  # nothing comes behind statistics
            if kind == STATISTICS:
                options = read_options(body[12:])
                self.received, self.dropped = (
                    struct.unpack('<Q', options[code])[0] for code in (4, 5))
            else:
                assert kind == PACKET
                self.packets.append(read_packet(body, self.snaplen))

    def commands(self, *cmds):
        """The packets that carry one of these commands, or replies to them."""
        return [packet for packet in self.packets if packet.cmd in cmds]


def block(kind, body):
    body += bytes(-len(body) % 4)
    size = struct.pack('<I', len(body) + 12)
    return struct.pack('<I', kind) + size + body + size


def forge(path, packets):
    """Write a capture of (flags, bytes, keywords of the pseudo-header), a millisecond apart."""
    with open(path, 'wb') as file:
        file.write(block(SECTION, struct.pack('<IHHq', 0x1a2b3c4d, 1, 0, -1)))
        file.write(block(INTERFACE, struct.pack('<HHI', LINKTYPE, 0, 1 << 18)))
        for number, (flags, data, *more) in enumerate(packets):
            header = {'version': 1, 'fds': 0, 'connection': 1, 'dropped': 0, 'size': len(data)}
            header |= more[0] if more else {}
            data = struct.pack('<BBHII', header['version'], flags, header['fds'],
                               header['connection'], header['dropped']) + data
            file.write(block(PACKET, struct.pack('<IIIII', 0, 0, number * 1000, len(data),
                                                 header['size'] + 12) + data))
    return path


def ask(number, cmd, body=b'', flags=0, **more):
    """A command of the client."""
    return (TO_SERVER, message(number, cmd, body, flags), more)


def tell(number, cmd, body=b'', flags=1, error=0, **more):
    """A reply of the server."""
    return (FROM_SERVER, message(number, cmd, body, flags, error=error), more)


def tshark(path, *args):
    """Its output for a capture, as lines, in two passes. No Lua error is left unseen. Not as root,
    for whom newer versions run no script."""
    user = {'user': NOBODY, 'group': NOBODY, 'extra_groups': []} if os.geteuid() == 0 else {}
    with tempfile.TemporaryDirectory() as home:
        os.chmod(home, 0o755)
        script = shutil.copy(os.environ['VUC_DISSECTOR'], f'{home}/vfio_user.lua')
        os.chmod(shutil.copyfile(path, f'{home}/capture'), 0o644)
        run = rig.Run('tshark', '-2', '-n', '-X', f'lua_script:{script}', '-r', f'{home}/capture',
                      *args, env={'HOME': home, 'LC_ALL': 'C.UTF-8'}, **user)
    assert run.status == 0, run.err
    assert 'Lua' not in run.err and 'lua' not in run.err, run.err
    assert 'Lua Error' not in run.out
    return run.out.splitlines()


def fields(path, *names, filtered=''):
    """A row for each message: the values of fields, '' for one that it does not have, with ',' between
    several."""
    args = [arg for name in names for arg in ('-e', name)]
    if filtered:
        args += ['-Y', filtered]
    return [tuple(line.split('\t')) for line in tshark(path, '-T', 'fields', *args)]
