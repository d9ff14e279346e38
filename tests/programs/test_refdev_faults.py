# SPDX-License-Identifier: BSD-3-Clause
"""Faults of vuc-refdev: the bytes of a spoiled reply, their order, and what comes after. Each kind of
them, by what a client makes of it, is a row of tests/integration/fault_cases.c."""

import socket
import struct
import time

import pytest
import vfio_client as vfio
from vfio_client import BAR0, BAR2, Client

ID = vfio.access(BAR0, 0, 4)
ID_BODY = ID + b'vucR'
READ_SIZE = 36  # of a reply with 4 bytes of data


@pytest.fixture(name='spoiled')
def fixture_spoiled(refdev):
    """Start a server with faults and a client of it, and check in the end that it has said nothing:
    no matter how its replies are spoiled, it goes on."""
    servers = []

    def start(*faults, mode='block', **client):
        servers.append(refdev(f'--mode={mode}', *(f'--fault={fault}' for fault in faults)))
        return Client(servers[-1].socket, **client)
    start.servers = servers
    yield start
    for server in servers:
        assert server.stop() == 0
        assert server.err == b''


def read_id(client, number=0x1234):
    client.send(vfio.message(number, vfio.REGION_READ, ID))


def reply_bytes(number=0x1234, cmd=vfio.REGION_READ, flags=vfio.REPLY, size=READ_SIZE):
    return vfio.message(number, cmd, ID_BODY, flags, size)


# The bytes that answer a read.
SPOILED = {
    'wrong-id@region_read': reply_bytes(0x1234 ^ 0xffff),
    'wrong-size=0xffffffff@region_read': reply_bytes(size=0xffffffff),
    'wrong-type@region_read': reply_bytes(flags=0),
    'wrong-cmd@region_read': reply_bytes(cmd=vfio.REGION_WRITE),
    'wrong-count': reply_bytes()[:28] + b'\5' + reply_bytes()[29:],
    'length=40@region_read': reply_bytes(size=40) + bytes(4),
    'length=20@region_read': reply_bytes(size=20)[:20],
    'error=5@region_read': vfio.message(0x1234, vfio.REGION_READ, b'', 0x21, error=5),
    'error=0@region_read': vfio.message(0x1234, vfio.REGION_READ, b'', 0x21),
    'truncate=0@region_read': b'',
    'truncate=5@region_read': reply_bytes()[:5],
    'truncate=20@region_read': reply_bytes()[:20],
    'truncate=100@region_read': reply_bytes(),
    'close@region_read': b'',
    'split': reply_bytes(),
    'duplicate@region_read': 2 * reply_bytes(),
}


@pytest.mark.parametrize('fault', SPOILED)
def test_bytes(spoiled, fault):
    """These come, and nothing behind them."""
    client = spoiled(fault)
    data = SPOILED[fault]
    read_id(client)
    assert client.receive_bytes(len(data))[0] == data
    client.sock.shutdown(socket.SHUT_WR)
    assert client.has_ended()


def test_nth(spoiled):
    client = spoiled('error=5@region_read#2')
    assert [client.ask(vfio.REGION_READ, ID).error for _ in range(3)] == [0, -5, 0]


@pytest.mark.parametrize('fault, numbers', [
    (['drop@region_read#1'], [2, 3, 4]),
    (['duplicate@region_read#1'], [1, 1, 2, 3, 4]),
    (['wrong-id@region_read#2', 'split', 'drop@region_read#3'], [1, 2 ^ 0xffff, 4]),
])
def test_order(spoiled, fault, numbers):
    client = spoiled(*fault)
    for number in range(1, 5):
        read_id(client, number)
    assert [client.receive().id for _ in numbers] == numbers


def test_close(spoiled):
    """The count goes on with the next client."""
    client = spoiled('close@region_read#2')
    assert client.ask(vfio.REGION_READ, ID).body == ID_BODY
    assert client.ask(vfio.REGION_READ, ID) is None
    assert Client(spoiled.servers[0].socket).ask(vfio.REGION_READ, ID).body == ID_BODY


def test_close_on_accept(spoiled):
    assert spoiled('close-on-accept#1', capabilities=None).has_ended()
    assert Client(spoiled.servers[0].socket).reg('ID') == 0x52637576


def test_never(spoiled):
    """Nothing comes any more, to the end of the stream; what was asked for is done all the same,
    and the next client is answered."""
    client = spoiled('never@region_read#2')
    assert client.ask(vfio.REGION_READ, ID).body == ID_BODY
    read_id(client)
    client.post(vfio.REGION_WRITE, vfio.access(BAR0, 8, 8, b'\x63'.ljust(8, b'\0')), flags=0)
    client.sock.shutdown(socket.SHUT_WR)
    assert client.has_ended()
    assert Client(spoiled.servers[0].socket).reg('SCRATCH') == 99


@pytest.mark.parametrize('mode', ['block', 'poll'])
def test_delay(spoiled, mode):
    """Only the delayed reply takes its time, and nothing overtakes it."""
    client = spoiled('delay=60@region_read#1', mode=mode)
    begin = time.monotonic()
    read_id(client, 1)
    read_id(client, 2)
    assert client.receive().id == 1
    assert time.monotonic() - begin >= 0.06
    assert client.receive().id == 2


@pytest.mark.parametrize('mode', ['block', 'poll'])
def test_reorder(spoiled, mode):
    """Each second reply overtakes the one before it; the last one, which none follows, is late."""
    client = spoiled('reorder=60@region_read', mode=mode)
    begin = time.monotonic()
    client.send(b''.join(vfio.message(i, vfio.REGION_READ, ID) for i in range(1, 6)))
    assert [client.receive().id for _ in range(5)] == [2, 1, 4, 3, 5]
    assert time.monotonic() - begin >= 0.06


def ask_region(client, index, argsz=4096, number=9):
    client.send(vfio.message(number, vfio.GET_REGION_INFO,
                             struct.pack('<IIIIQQ', argsz, 0, index, 0, 0, 0)))


def test_reorder_with_fd(spoiled):
    """A reply that is held keeps its descriptor; a client that leaves takes the reply along."""
    client = spoiled('reorder=3600000@device_get_region_info')
    for _ in range(2):
        ask_region(client, BAR2)
        read_id(client, 1)
        assert client.receive().id == 1
        reply = client.receive()
        assert (reply.id, reply.size, len(reply.fds)) == (9, 48, 1)
        ask_region(client, BAR2)
        client.close()
        client = Client(spoiled.servers[0].socket)


@pytest.mark.parametrize('fault, text', [
    ('bad-json={"a":1', '{"a":1'),
    ('bad-json=a=b@c#d', 'a=b@c#d'),
    ('bad-json=x@version#1', 'x'),
    ('bad-json=x@version', 'x'),
    ('bad-json=', ''),
])
def test_bad_json(spoiled, fault, text):
    """The text is everything but what reads as the parts behind it."""
    body = spoiled(fault, capabilities=None).propose().body
    assert body == b'\0\0\2\0' + text.encode() + b'\0'


TWIN = '{"capabilities":{"max_msg_fds":8,"twin_socket":{"supported":true}}}'


@pytest.mark.parametrize('fault, size', [('wrong-size=24@dma_read', 24), ('wrong-id#5', 32)])
def test_commands(spoiled, fault, size):
    """The device's own commands are spoiled by their name, and by nothing else."""
    client = spoiled(fault, capabilities=TWIN)
    assert client.map(0, 4096, vfio.READ | vfio.WRITE) == 0
    for name, value in (('LEN', 16), ('DST', 1024), ('START', 1)):
        client.post_reg(f'DMA_{name}', value)
    data, _ = client.twin.receive_bytes(32)
    assert struct.unpack_from('<HHI', data)[1:] == (vfio.DMA_READ, size)
