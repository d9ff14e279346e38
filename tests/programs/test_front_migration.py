# SPDX-License-Identifier: BSD-3-Clause
"""A stock VMM that migrates: features and migration data of exported devices, from one device of a
daemon to another, and what remains of a migration whose server is restarted."""

import json
import struct

import pytest
import rig
import vfio_client as vfio
from fake_device import FakeDevice
from outage_rig import FOREVER
from test_refdev_migration import (ERROR, FEATURES, GET, LOG_STOP, MARKS, MIGRATION, PRE_COPY,
                                   PROBE, RESUMING, RUNNING, SET, STATE, STOP, STOP_COPY, go,
                                   log_report, log_start, marks, mig_read, mig_write, pages_report,
                                   read_round, save, state)
from vfio_client import (BY_FILE, BY_MMAP, CONFIG, DONE, EINVAL, ENOTCONN, ENOTTY, FILL, MSIX, PAGE, RESET,
                         transfer)

ECONNRESET, ETIMEDOUT = -104, -110
CHUNK = 32768
PROPOSAL = '{"capabilities":{"max_msg_fds":8,"migration":{"pgsize":4096}}}'


def load(client, stream, chunk=CHUNK):
    """Errors of a state that is written."""
    return {mig_write(client, stream[i:i + chunk]) for i in range(0, len(stream), chunk)}


@pytest.mark.parametrize('pre_copy, chunk', [(False, 32768), (False, 333), (True, 4096)])
def test_move(exported, pre_copy, chunk):
    """The state of a marked device is another one's afterwards."""
    one = exported(count=2)
    stream = save(one.client(0), pre_copy, chunk)
    target = one.client(1)
    assert go(target, RESUMING) == 0
    assert load(target, stream, chunk) == {0}
    assert go(target, RUNNING) == 0
    assert (state(target), marks(target)) == (RUNNING, MARKS)


def test_bad_stream(exported):
    """The server refuses it, and the VMM resets the device."""
    one = exported()
    client = one.client()
    assert go(client, RESUMING) == 0
    assert load(client, bytes(100)) <= {0, EINVAL}
    assert (go(client, STOP), state(client)) == (EINVAL, ERROR)
    assert client.try_ask(RESET) == 0
    assert state(client) == RUNNING


def test_next_client(exported):
    """It finds nothing of the migration of the one before, also if the connection is kept."""
    one = exported('reset = trust\n')
    client = one.client()
    assert log_start(client) == PAGE
    assert go(client, STOP) == 0
    client.sock.close()
    one.daemon.await_state('d0', 'free')
    client = one.client()
    assert state(client) == RUNNING
    assert client.feature(SET | LOG_STOP).error == EINVAL


@pytest.mark.parametrize('options, flags, error', FEATURES + [(['--no-migration'], GET | MIGRATION, ENOTTY)])
def test_features(exported, options, flags, error):
    """A client sees what its server has of them."""
    assert exported('', *options).client().feature(flags, room=8).error == error


@pytest.mark.parametrize('more, mode', [('', BY_MMAP), ('', BY_FILE)])
def test_log(exported, more, mode):
    """Of writes to memory, in the pages that the client asks for."""
    client = exported(more).client()
    client.map_memory(0, 64 * PAGE)
    assert pages_report(client, 0, 64) == EINVAL
    assert log_start(client, PAGE, [(0, 32 * PAGE)]) == PAGE
    assert transfer(client, mode | FILL, 0, 3 * PAGE - 1, 2) == DONE
    assert [pages_report(client, 0, 32), pages_report(client, 0, 32)] == [3 << 2, 0]
    assert transfer(client, mode | FILL, 0, 8 * PAGE, 1) == DONE
    assert log_report(client, 0, 32 * PAGE, 4 * PAGE) == 1 << 2
    assert client.feature(SET | LOG_STOP).error == 0
    assert pages_report(client, 0, 32) == EINVAL


def test_away(exported):
    """Without a server, there is nothing to be asked or told."""
    one = exported(FOREVER)
    client = one.client()
    assert client.reg('ID') == 0x52637576
    one.lose()
    assert [client.feature(PROBE | MIGRATION).error, client.feature(GET | MIGRATION, room=8).error,
            client.feature(GET | STATE, room=8).error, go(client, STOP), mig_read(client, 8),
            mig_write(client, bytes(8)), log_start(client), client.feature(SET | LOG_STOP).error,
            pages_report(client, 0, 8)] == [ENOTCONN] * 9
    one.find()
    assert (state(client), go(client, STOP)) == (RUNNING, 0)


@pytest.mark.parametrize('before', [STOP, STOP_COPY, RESUMING, PRE_COPY])
def test_restarted(exported, before):
    """A server that was restarted has lost what it has sent or taken, so the device is in ERROR; what was
    sent before is not continued by what another state has."""
    one = exported(FOREVER)
    client = one.client()
    assert go(client, before) == 0
    one.lose()
    one.find()
    assert state(client) == ERROR
    assert {go(client, to) for to in (STOP, RUNNING, STOP_COPY, RESUMING, PRE_COPY)} == {ECONNRESET}
    assert (mig_read(client, 8), mig_write(client, bytes(8))) == (ECONNRESET, ECONNRESET)
    assert client.try_ask(RESET) == 0
    assert (state(client), go(client, before)) == (RUNNING, 0)


def test_restarted_while_running(exported):
    """Before a migration, or after one, it does not matter; what was logged is lost, which the client sees
    by the error of the next report."""
    one = exported(FOREVER)
    client = one.client()
    client.map_memory(0, 64 * PAGE)
    assert [go(client, to) for to in (PRE_COPY, RUNNING)] == [0, 0]
    assert log_start(client) == PAGE
    one.lose()
    one.find()
    assert (state(client), go(client, PRE_COPY)) == (RUNNING, 0)
    assert len(read_round(client, CHUNK)) > 65536
    assert pages_report(client, 0, 64) == EINVAL
    assert log_start(client) == PAGE
    assert pages_report(client, 0, 64) == 0


def test_lost_in_the_middle(exported):
    """The server is killed while it works on migration data."""
    one = exported(FOREVER)
    client = one.client()
    assert go(client, STOP_COPY) == 0
    one.server.signal(rig.signal.SIGSTOP)
    number = client.post(vfio.MIG_READ, struct.pack('<II', 8 + CHUNK, CHUNK), 0)
    one.lose()
    reply = client.receive()
    assert (reply.id, reply.error < 0) == (number, True)
    one.find()
    assert mig_read(client, 8) == ECONNRESET


def test_slow_server(exported):
    """The client has its answer in time; what it has asked for takes place nevertheless."""
    one = exported('reply-ms = 200\n')
    client = one.client()
    one.server.signal(rig.signal.SIGSTOP)
    assert go(client, STOP) == ETIMEDOUT
    one.server.signal(rig.signal.SIGCONT)
    rig.eventually(lambda: client.feature(GET | STATE, room=8).body[8:12] == struct.pack('<I', STOP))


def test_record_after_move(exported):
    """What the VMM sets from RESUMING on is what a restarted server gets, not what it has set before."""
    one = exported(FOREVER + 'map = none\n', count=2)
    stream = save(one.client(0), chunk=CHUNK)
    vmm = one.attach(number=1)
    vmm.enable_msix()
    vmm.set(CONFIG, 0x9c, 4, 0x11111111)
    vmm.set(CONFIG, 4, 2, 0x0406)

    def ask(cmd, body):
        vmm.expect(cmd, body, room=16 + len(body))
    ask(vfio.FEATURE, struct.pack('<IIII', 16, SET | STATE, RESUMING, 0))
    for part in (stream[i:i + CHUNK] for i in range(0, len(stream), CHUNK)):
        ask(vfio.MIG_WRITE, struct.pack('<II', 8 + len(part), len(part)) + part)
    ask(vfio.FEATURE, struct.pack('<IIII', 16, SET | STATE, RUNNING, 0))
    assert vmm.get(CONFIG, 0x9c, 4) == 0x7711
    vmm.set(CONFIG, 4, 2, 0x0402)
    one.lose(1)
    one.find(number=1)
    assert (vmm.get(CONFIG, 0x9c, 4), vmm.get(CONFIG, 4, 2) & 7) == (0, 2)
    vmm.take_events()
    vmm.set_reg('IRQ_TRIGGER', 3)
    assert vmm.await_event(MSIX, 3) >= 1


@pytest.mark.parametrize('announced, proposal, expected', [
    ({'pgsize': 65536}, PROPOSAL, {'pgsize': 65536}), ({}, PROPOSAL, {'pgsize': 4096}),
    (None, PROPOSAL, None), ({'pgsize': 4096}, vfio.CAPABILITIES, None)])
def test_announced(exported, announced, proposal, expected):
    """To a client that proposes it, if the server has announced it."""
    with FakeDevice() as device:
        if announced is not None:
            device.capabilities['migration'] = announced
        one = exported('reset = never\n', servers=[device])
        capabilities = json.loads(one.client(capabilities=None).propose(proposal).body[4:-1])['capabilities']
        assert capabilities.get('migration') == expected
        assert one.daemon.stop() == 0
