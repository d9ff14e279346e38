# SPDX-License-Identifier: BSD-3-Clause
"""Servers that hang in each way that there is, and a healthy device on the same poller. A hung
server may take an hour for each request, and everything that is done with the daemon and with the
healthy device has a minute: what is done in time has not waited for a hung server."""

import os
import signal
import socket
import struct
import time

import pytest

import rig
from outage_rig import HOUR

HUNG = 4
DEPTH = 256  # of the queue of a VMM, a page each: more than all buffers hold
VERSION = 1


class VersionHung:
    """Servers that do not answer VERSION, at folder/0, ..."""

    def __init__(self, folder, nr):
        self.listeners = [socket.socket(socket.AF_UNIX) for _ in range(nr)]
        self.connections = []
        for i, listener in enumerate(self.listeners):
            listener.settimeout(rig.TIMEOUT_S)
            listener.bind(f'{folder}/{i}')
            listener.listen()

    def hang(self):
        for listener in self.listeners:
            self.connections.append(listener.accept()[0])
            self.connections[-1].settimeout(rig.TIMEOUT_S)
            assert struct.unpack_from('<HH', self.connections[-1].recv(16))[1] == VERSION

    def close(self):
        for sock in self.listeners + self.connections:
            sock.close()


def section(name, path, more=''):
    return f'[device {name}]\nsocket = {path}\n{more}'


def sections(folder, nr, more=''):
    return ''.join(section(f'hung{i}', f'{folder}/{i}', HOUR + more) for i in range(nr))


def has_had(server, command):
    """All devices of the server have had a command, which it says on stderr."""
    return server.await_event(lambda: server.err.count(command) == HUNG)


def posted(daemon, i):
    """How many writes the poller has taken from the VMM of a hung device."""
    return daemon.do('stats.get', device=f'hung{i}')['devices'][0]['posted']


@pytest.mark.parametrize('fault,first,shown', [
    (None, None, None),                                                 # stopped before VERSION
    ('device_reset', None, b'device_reset ('),                          # that of the daemon
    ('', f'fill {DEPTH}', None),                                        # with a full socket
    ('dma_map', 'commit_start', b'dma_map ('),                          # with unanswered mappings
    ('region_read#7', 'region_start', b'region 7 offset 0x0 count 4'),  # opening reads the six BARs
], ids=['version', 'reset', 'full', 'map', 'region'])
def test_beside(refdev, vucd, vmm, folder, fault, first, shown):
    """first: what a VMM of each hung device does before; shown: what its server says then."""
    if fault is None:
        server = VersionHung(folder, HUNG)
    else:
        server = refdev(*(f'{folder}/{i}' for i in range(HUNG)),
                        *(['--verbose', f'--fault=drop@{fault}'] if fault else []))
    healthy = refdev(f'{folder}/added')
    more = 'outage = fail\n' if first == 'region_start' else ''  # a record reads config space, too
    daemon = vucd(sections(folder, HUNG, more) + section('disk0', healthy.socket))
    if fault is None:
        server.hang()
    vmms = [vmm(daemon, f'hung{i}') for i in range(HUNG if first else 0)]
    for client in vmms:
        client.ok(f'queue {DEPTH}', 'map 1')
    if fault == '':
        os.kill(server.pid, signal.SIGSTOP)
    for client in vmms:
        assert client.do(first) == (f'{DEPTH} ' if 'fill' in first else '0 ')
    if shown:
        assert has_had(server, shown)

    def is_full():
        return fault != '' or all(0 < posted(daemon, i) < DEPTH for i in range(HUNG))
    rig.eventually(is_full)
    client = vmm(daemon, 'disk0')
    for what in ('queue', 'read', 'map 1024', 'commit', 'reset'):
        assert client.do(what) == '0 '
        assert is_full()
    client.detach()
    daemon.await_state('disk0', 'free')
    client = vmm(daemon, 'disk0')  # it is clean for the next one
    client.ok('queue', 'read')
    client.detach()
    daemon.do('devices.add', name='disk1', socket=f'{folder}/added')
    daemon.do('devices.remove', name='disk1')
    assert is_full()
    assert daemon.stop() == 0
    if fault is None:
        server.close()


class Usage:
    """What a daemon has used up to now."""

    def __init__(self, daemon):
        self.time = time.monotonic()
        self.threads = self.switches = 0
        for task in os.listdir(f'/proc/{daemon.pid}/task'):
            try:
                with open(f'/proc/{daemon.pid}/task/{task}/status', encoding='utf-8') as status:
                    self.switches += int(status.read().split('\nvoluntary_ctxt_switches:')[1].split()[0])
            except (FileNotFoundError, ProcessLookupError):
                continue
            self.threads += 1
        with open(f'/proc/{daemon.pid}/stat', encoding='utf-8') as stat:
            times = stat.read().rsplit(')', 1)[1].split()[11:13]
        self.cpu_s = sum(map(int, times)) / os.sysconf('SC_CLK_TCK')
        poller, = daemon.do('stats.get')['pollers']
        self.loops = poller['loops_empty'] + poller['loops_busy']

    def is_idle(self, before):
        """A thread for the poller and one for the VMM, and four beside them at most; and all of them
        sleep. The poller sleeps until a deadline, and looks around once in a second."""
        time_s = self.time - before.time
        loops, switches = self.loops - before.loops, self.switches - before.switches
        print(f'# {self.threads} threads, in {time_s:.1f} s: {loops} loops, {switches} switches, '
              f'{self.cpu_s - before.cpu_s:.2f} s of CPU time')
        return (self.threads <= 1 + 1 + 4 and loops <= 20 + 20 * time_s and
                switches <= 50 + 100 * time_s and self.cpu_s - before.cpu_s <= time_s / 4)


def test_many(refdev, vucd, vmm, folder):
    """300 devices, 100 of them hung. Threads that look up the path of a socket come and go."""
    server = VersionHung(folder, 100)
    healthy = refdev(*(f'{folder}/healthy{i}' for i in range(200)))
    daemon = vucd(sections(folder, 100) + ''.join(
        section(f'healthy{i}', f'{folder}/healthy{i}') for i in range(200)))
    server.hang()
    daemon.await_state('healthy199', 'free')
    client = vmm(daemon, 'healthy0')
    now, idle = Usage(daemon), False
    for _ in range(rig.TIMEOUT_S):
        if idle:
            break
        time.sleep(1)
        before, now = now, Usage(daemon)
        idle = now.is_idle(before)
    assert idle
    client.detach()
    assert daemon.stop() == 0
    assert healthy.stop() == 0
    server.close()
