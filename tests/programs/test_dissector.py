# SPDX-License-Identifier: BSD-3-Clause
"""The dissector for Wireshark: captures that are made here and by vucctl, decoded by tshark."""

import os
import random
import struct

import pytest

import rig
from capture_rig import FROM_SERVER, TO_SERVER, TWIN, Capture, ask, fields, forge, tell, tshark, \
    with_tshark
from vfio_client import (DMA_MAP, DMA_READ, DMA_UNMAP, DMA_WRITE, ERROR, FEATURE, GET_INFO,
                         GET_IRQ_INFO, GET_REGION_INFO, GET_REGION_IO_FDS, MIG_READ, MIG_WRITE,
                         NO_REPLY, REGION_READ, REGION_WRITE, REPLY, RESET, SET_IRQS, VERSION,
                         WRITE_MULTI, access, message)

pytestmark = with_tshark

P = struct.pack
JSON = b'{"capabilities":{"max_msg_fds":8}}'
REGION_CAPS = P('<IIIIQQ', 96, 0xf, 4, 32, 0x4000, 0x1000) + \
    P('<HHIIIQQQQ', 1, 1, 80, 2, 0, 0x1000, 0x800, 0x3000, 0x400) + P('<HHIII', 2, 1, 0, 7, 9)

# A message, and what its fields are. VUC: without "vfio_user." before.
MESSAGES = {
    'version': (ask(1, VERSION, P('<HH', 0, 2) + JSON + b'\0', fds=1), {
        'msg_id': '0x0001', 'cmd': '1', 'msg_size': '55', 'flags': '0x00000000', 'flags.type': '0',
        'capture.nr_fds': '1', 'capture.sent': '1', 'version.major': '0', 'version.minor': '2',
        'version.data': JSON.decode()}),
    'version reply': (tell(1, VERSION, P('<HH', 0, 1) + JSON + b'\0'), {
        'flags.type': '1', 'version.minor': '1', 'capture.sent': '0'}),
    'dma_map': (ask(2, DMA_MAP, P('<IIQQQ', 32, 0x3, 0x1000, 0x40000000, 0x200000), fds=1), {
        'argsz': '32', 'dma_map.flags': '0x00000003', 'dma_map.flags.read': '1',
        'dma_map.flags.write': '1', 'dma_map.flags.mmap': '0', 'dma_map.flags.file_io': '0',
        'dma_map.offset': '0x0000000000001000', 'dma_map.addr': '0x0000000040000000',
        'dma_map.size': '0x0000000000200000', 'capture.nr_fds': '1'}),
    'dma_map reply': (tell(2, DMA_MAP), {'cmd': '2', 'msg_size': '16', 'dma_map.flags': ''}),
    'dma_unmap': (ask(3, DMA_UNMAP, P('<IIQQQQ', 40, 1, 0x1000, 0x2000, 4096, 8)), {
        'dma_unmap.flags.get_dirty_bitmap': '1', 'dma_unmap.flags.all': '0',
        'dma_unmap.addr': '0x0000000000001000', 'dma_unmap.size': '0x0000000000002000',
        'bitmap.pgsize': '0x0000000000001000', 'bitmap.size': '8'}),
    'dma_unmap reply': (tell(3, DMA_UNMAP, P('<IIQQQQ', 48, 1, 0x1000, 0x2000, 4096, 8) + bytes(
        [3, 0, 0, 0, 0, 0, 0, 0])), {'bitmap.data': '0300000000000000'}),
    'device_info': (tell(4, GET_INFO, P('<IIII', 16, 0x3, 9, 5)), {
        'argsz': '16', 'device_info.flags.reset': '1', 'device_info.flags.pci': '1',
        'device_info.num_regions': '9', 'device_info.num_irqs': '5'}),
    'region_info': (tell(5, GET_REGION_INFO, REGION_CAPS, fds=2), {
        'region_info.index': '4', 'region_info.size': '0x0000000000004000',
        'region_info.offset': '0x0000000000001000', 'region_info.cap_offset': '32',
        'region_info.flags.read': '1', 'region_info.flags.caps': '1', 'cap.id': '1,2',
        'cap.version': '1,1', 'cap.next': '80,0', 'cap.nr_areas': '2',
        'cap.area.offset': '0x0000000000001000,0x0000000000003000',
        'cap.area.size': '0x0000000000000800,0x0000000000000400', 'cap.type': '7',
        'cap.subtype': '9'}),
    'region_io_fds': (tell(6, GET_REGION_IO_FDS, P('<IIII', 96, 0, 0, 2) + P(
        '<QQIIIIQQ', 0x18, 4, 0, 0, 0, 1, 2, 3) + P('<QQIIIIQ', 0x20, 8, 1, 1, 0, 0, 4)), {
            'region_io_fds.index': '0', 'region_io_fds.count': '2',
            'sub_region.offset': '0x0000000000000018,0x0000000000000020',
            'sub_region.fd_index': '0,1', 'sub_region.type': '0,1',
            'sub_region.datamatch': '0x0000000000000003',
            'sub_region.user_data': '0x0000000000000004'}),
    'irq_info': (tell(7, GET_IRQ_INFO, P('<IIII', 16, 0x9, 2, 8)), {
        'irq_info.flags.eventfd': '1', 'irq_info.flags.maskable': '0',
        'irq_info.flags.noresize': '1', 'irq_info.index': '2', 'irq_info.count': '8'}),
    'set_irqs': (ask(8, SET_IRQS, P('<IIIII', 22, 0x22, 2, 1, 2) + b'\1\0'), {
        'irq_set.flags.data_bool': '1', 'irq_set.flags.trigger': '1', 'irq_set.index': '2',
        'irq_set.start': '1', 'irq_set.count': '2', 'irq_set.data': '0100'}),
    'region_read': (ask(9, REGION_READ, access(7, 0x10, 4)), {
        'region.region': '7', 'region.offset': '0x0000000000000010', 'region.count': '4',
        'data': ''}),
    'region_read reply': (tell(9, REGION_READ, access(7, 0x10, 4, b'\1\2\3\4')), {
        'data': '01020304'}),
    'region_write': (ask(0xffff, REGION_WRITE, access(0, 8, 2, b'\xab\xcd'), NO_REPLY), {
        'msg_id': '0xffff', 'flags.no_reply': '1', 'region.region': '0', 'data': 'abcd'}),
    'dma_read': ((FROM_SERVER | TWIN, message(11, DMA_READ, P('<QQ', 0x1000, 3))), {
        'capture.twin': '1', 'dma.addr': '0x0000000000001000', 'dma.count': '3'}),
    'dma_read reply': ((TO_SERVER | TWIN, message(11, DMA_READ, P('<QQ', 0x1000, 3) + b'abc',
                                                  REPLY)), {'data': '616263'}),
    'dma_write': ((FROM_SERVER, message(12, DMA_WRITE, P('<QQ', 0x2000, 2) + b'xy')), {
        'dma.addr': '0x0000000000002000', 'dma.count': '2', 'data': '7879'}),
    'dma_write reply': ((TO_SERVER, message(12, DMA_WRITE, P('<QQ', 0x2000, 2), REPLY)), {
        'dma.count': '2', 'data': ''}),
    'reset': (ask(13, RESET), {'cmd': '13', 'msg_size': '16'}),
    'write_multi': (ask(0xffff, WRITE_MULTI, P('<Q', 2) + P('<QII8s', 0x18, 0, 4, b'abcd') + P(
        '<QII8s', 0x20, 2, 8, b'12345678'), NO_REPLY), {
            'write_multi.wr_cnt': '2', 'region.offset': '0x0000000000000018,0x0000000000000020',
            'region.region': '0,2', 'region.count': '4,8', 'data': '61626364,3132333435363738'}),
    'migration': (tell(16, FEATURE, P('<IIQ', 16, 0x10001, 5)), {
        'feature.index': '1', 'feature.flags.get': '1', 'feature.flags.set': '0',
        'migration.flags.stop_copy': '1', 'migration.flags.p2p': '0',
        'migration.flags.pre_copy': '1'}),
    'mig_state': (ask(16, FEATURE, P('<IIII', 16, 0x20002, 3, 0)), {
        'feature.index': '2', 'feature.flags.set': '1', 'mig_state.device_state': '3'}),
    'dma_logging start': (ask(16, FEATURE, P('<IIQIIQQ', 40, 0x20006, 4096, 1, 0, 0x1000, 0x3000)), {
        'feature.index': '6', 'dma_logging.page_size': '0x0000000000001000',
        'dma_logging.num_ranges': '1', 'dma_logging.iova': '0x0000000000001000',
        'dma_logging.length': '0x0000000000003000'}),
    'dma_logging report': (tell(16, FEATURE, P('<IIQQQ', 40, 0x10008, 0x1000, 0x3000, 4096) +
                                bytes(8)), {'bitmap.data': '0000000000000000'}),
    'mig_data_read': (tell(17, MIG_READ, P('<II', 11, 3) + b'abc'), {
        'argsz': '11', 'mig_data.size': '3', 'data': '616263'}),
    'mig_data_write': (ask(18, MIG_WRITE, P('<II', 11, 3) + b'abc'), {
        'mig_data.size': '3', 'data': '616263'}),
    'error': (tell(9, REGION_READ, flags=REPLY | ERROR, error=22), {
        'flags.error': '1', 'error_no': '22', 'region.count': ''}),
}


@pytest.fixture(name='decoded', scope='module')
def fixture_decoded(tmp_path_factory):
    """All of MESSAGES: their fields by name, one dictionary each."""
    path = forge(tmp_path_factory.mktemp('captures') / 'all', [row for row, _ in MESSAGES.values()])
    names = sorted({name for _, expected in MESSAGES.values() for name in expected})
    rows = fields(path, *(f'vfio_user.{name}' for name in names))
    assert len(rows) == len(MESSAGES)
    return {key: dict(zip(names, row)) for key, row in zip(MESSAGES, rows)}


@pytest.mark.parametrize('name', MESSAGES)
def test_fields(decoded, name):
    """True and False are what tshark 4.4 prints for booleans."""
    for field, value in MESSAGES[name][1].items():
        shown = decoded[name][field].replace('True', '1').replace('False', '0')
        assert (field, shown) == (field, value)


def test_nothing_to_complain_of(tmp_path):
    """Messages that are all right draw no warning and no error, but for the reply that is one."""
    path = forge(tmp_path / 'c', [row for name, (row, _) in MESSAGES.items() if name != 'error'])
    # Of warning and above.
    assert not tshark(path, '-Y', '_ws.expert.severity >= 6291456')


def test_replies(tmp_path):
    """Commands and replies refer to each other, by connection, socket and direction."""
    read, reply = access(0, 0, 4), access(0, 0, 4, bytes(4))
    path = forge(tmp_path / 'c', [
        ask(1, REGION_READ, read),                       # 1
        ask(2, REGION_READ, read),                       # 2
        (FROM_SERVER, message(1, DMA_READ, P('<QQ', 0, 1))),
        (FROM_SERVER | TWIN, message(1, DMA_READ, P('<QQ', 0, 1))),
        ask(1, REGION_READ, read, connection=2),         # 5
        tell(2, REGION_READ, reply),
        (TO_SERVER | TWIN, message(1, DMA_READ, P('<QQ', 0, 1) + b'a', REPLY)),
        tell(1, REGION_READ, reply),                     # 8
        tell(7, REGION_READ, reply),
        ask(1, REGION_READ, read),                       # 10
        tell(1, REGION_READ, reply),
        ask(0xffff, REGION_WRITE, reply, NO_REPLY),
    ])
    rows = fields(path, 'vfio_user.response_in', 'vfio_user.request_in', 'vfio_user.time',
                  '_ws.expert.message')
    first, pending = 'First message of connection {}', 'A command without a captured reply'
    assert rows == [
        ('8', '', '', first.format(1)), ('6', '', '', ''), ('', '', '', pending),
        ('7', '', '', ''), ('', '', '', f'{first.format(2)},{pending}'),
        ('', '2', '0.004000000', ''), ('', '4', '0.003000000', ''), ('', '1', '0.007000000', ''),
        ('', '', '', 'A reply without a captured command'), ('11', '', '', ''),
        ('', '10', '0.001000000', ''), ('', '', '', '')]


WRONG = {
    'error reply': (tell(1, REGION_READ, flags=REPLY | ERROR, error=22), 'Error reply: EINVAL'),
    'dropped': (ask(1, RESET, dropped=3), '3 messages before this one were dropped by the capture'),
    'snaplen': (ask(1, REGION_WRITE, access(0, 0, 4096, bytes(16)), size=4128),
                'The message is longer than what was captured of it'),
    'size': ((TO_SERVER, message(1, RESET, size=20)),
             'The message has 16 bytes, and a size of 20 in its header'),
    'short': (ask(1, REGION_READ, bytes(12)), 'The message is too short for its fields'),
    'no header': ((TO_SERVER, b'12345'), 'The message is too short for its fields'),
    'command': (ask(1, 99), 'Unknown command, type or flags'),
    'flags': (ask(1, RESET, flags=0x40), 'Unknown command, type or flags'),
    'direction': ((FROM_SERVER, message(1, RESET)), 'A command that the other side sends'),
    'data': (ask(1, REGION_WRITE, access(0, 0, 4, b'123')), '3 bytes of data, expected 4'),
    'writes': (ask(1, WRITE_MULTI, P('<Q', 2) + bytes(24)), 'room for 1 writes'),
    'capability': (tell(1, GET_REGION_INFO, P('<IIIIQQ', 40, 8, 0, 32, 1, 0) + P('<HHI', 1, 1, 32)),
                   'The chain of capabilities is broken'),
    'pseudo-header': ((TO_SERVER, b'', {'version': 2}), 'Not a capture of vucctl'),
}


@pytest.fixture(name='expert', scope='module')
def fixture_expert(tmp_path_factory):
    """All of WRONG: what tshark has to say of each of them."""
    path = forge(tmp_path_factory.mktemp('captures') / 'wrong', [row for row, _ in WRONG.values()])
    rows = fields(path, '_ws.expert.message')
    assert len(rows) == len(WRONG)
    return {key: row[0] for key, row in zip(WRONG, rows)}


@pytest.mark.parametrize('name', WRONG)
def test_expert(expert, name):
    assert WRONG[name][1] in expert[name]


def nonsense():
    """Messages cut off anywhere, with any byte replaced, of random bytes, in either direction."""
    chance = random.Random(1)
    for row, _ in MESSAGES.values():
        data = row[1]
        for size in range(len(data)):
            yield row[0], data[:size]
            yield row[0], data[:size], {'size': len(data)}
        for at, _ in enumerate(data):
            yield row[0] ^ (at & 1), data[:at] + bytes([chance.choice([0, 1, 0x7f, 0x80, 0xff])]) + \
                data[at + 1:]
    for cmd in range(20):
        for flags in (0, REPLY):
            for _ in range(20):
                body = chance.randbytes(chance.randrange(100))
                yield chance.randrange(4), message(cmd, cmd, body, flags)
    for _ in range(200):
        yield chance.randrange(256), chance.randbytes(chance.randrange(40)), {
            'version': chance.randrange(3)}


def test_nonsense(tmp_path):
    """Whatever the bytes are, each message is a line, and no error of Lua's among them."""
    packets = list(nonsense())
    path = forge(tmp_path / 'c', packets)
    assert len(tshark(path)) == len(packets) > 4000
    details = tshark(path, '-V')
    assert sum(line.startswith('Frame ') for line in details) == len(packets)
    assert not [line for line in details if 'Malformed Packet' in line]


def test_live(tmp_path, refdev):
    """All that vucctl does with a device is decoded, and nothing of it is wrong."""
    server, seen = refdev(), set()
    for args in (['probe'], ['dma-selftest'], ['dma-selftest', '-p', 'message'], ['reset'],
                 ['irq', 'wait', '--trigger'], ['irq', 'mask'],
                 ['write', '--posted', 'S', 'bar0', '0x18', '4', '1'],
                 ['migrate', 'save', 'S', f'{tmp_path}/state'],
                 ['migrate', 'load', 'S', f'{tmp_path}/state']):
        path = str(tmp_path / 'c')
        args = [server.socket if arg == 'S' else arg for arg in args]
        if server.socket not in args:
            args.append(server.socket)
        rig.vucctl(*args, f'--capture={path}')
        capture = Capture(path)
        rows = fields(path, 'vfio_user.cmd', 'vfio_user.flags.type', 'vfio_user.request_in',
                      'vfio_user.flags.error')
        assert len(rows) == len(capture.packets) > 40
        assert (capture.dropped, capture.received) == (0, len(rows))
        assert all(row[2] for row in rows if row[1] == '1')
        seen |= {int(row[0]) for row in rows}
        wrong = fields(path, '_ws.expert.message', filtered='_ws.expert.severity >= 6291456')
        # What the self-test of DMA provokes.
        assert {row[0] for row in wrong} <= (
            {'Error reply: EFAULT', 'Error reply: EACCES'} if 'message' in args else set())
    assert seen == {VERSION, DMA_MAP, DMA_UNMAP, GET_INFO, GET_REGION_INFO, GET_IRQ_INFO, SET_IRQS,
                    REGION_READ, REGION_WRITE, DMA_READ, DMA_WRITE, RESET, FEATURE, MIG_READ,
                    MIG_WRITE}


def test_summary(tmp_path, refdev):
    """The line of a message says what it is about."""
    path = str(tmp_path / 'c')
    run = rig.vucctl('read', f'--capture={path}', refdev().socket, 'bar0', '0', '4')
    lines = tshark(path, '-T', 'fields', '-e', '_ws.col.Info')
    assert lines[-2].split(' #')[0] == 'REGION_READ command'
    assert lines[-1].endswith(f' BAR0 offset 0x0 count 4 = {run.out.strip()}')
    assert os.stat(path).st_mode & 0o777 == 0o600


def test_source(tmp_path, folder, refdev):
    """The name of an interface is text, whatever bytes a path has."""
    server = refdev(at=f'{folder}/\x1b[31m\n\udcff')
    rig.vucctl('read', f'--capture={tmp_path}/c', server.socket, 'bar0', '0', '4')
    assert Capture(tmp_path / 'c').source == fr'{folder}/\x1b[31m\x0a\xff'
