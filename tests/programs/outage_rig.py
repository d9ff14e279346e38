# SPDX-License-Identifier: BSD-3-Clause
"""What tests of outages share: a server that is killed and started again, a VMM that works on its
device all the time, and what processes hold on to."""

import json
import os
import subprocess
import tempfile
import time

import pytest

import rig
from front_qemu import Qemu
from vfio_client import Client

# Rounds of a test that kills something again and again.
ROUNDS = int(os.environ.get('VUC_TEST_ROUNDS', '30'))
FIRST_ROUNDS = 10  # after which nobody holds on to more
CACHED = 8  # mappings: glibc keeps the stacks of threads that have ended, each with its guard

# What a sanitizer adds comes and goes.
SANITIZED = os.environ['VUC_TEST_SANITIZE'] != 'none'

# A daemon that connects again as soon as it can.
FAST = 'retry-min-ms = 1\nretry-max-ms = 10\n'

# A server that does not answer holds up nothing that is waited for, and one that is away nothing else.
HOUR = 'timeout-ms = 3600000\nlong-timeout-ms = 3600000\n'
FOREVER = 'hold-ms = 3600000\nafter-hold = hold\n'


def device(server, more='', name='disk0'):
    """The configuration of a device."""
    return f'[device {name}]\nsocket = {server.socket}\n{FAST}{more}'


def spdk():
    """The socket of SPDK's target, and a function that restarts it; the test is skipped without them."""
    path, restart = os.environ.get('VUC_SPDK_NVMF_SOCKET'), os.environ.get('VUC_SPDK_RESTART')
    if not path or not restart:
        pytest.skip("VUC_SPDK_NVMF_SOCKET and VUC_SPDK_RESTART do not name SPDK's target and a "
                    'command that restarts it')
    return path, lambda: subprocess.run(restart, shell=True, check=True, stdout=subprocess.DEVNULL)


class Server:
    """A vuc-refdev at .socket that is killed, and started there again. It begins with options."""

    def __init__(self, *options):
        self.folder = tempfile.TemporaryDirectory(prefix='vuc-')
        self.socket = f'{self.folder.name}/s'
        self.process = rig.Refdev(*options, at=self.socket)

    def kill(self):
        """It leaves its socket behind."""
        self.process.close()

    def start(self, *options):
        self.process = rig.Refdev(*options, at=self.socket)

    def restart(self, *options):
        self.kill()
        self.start(*options)

    def signal(self, number):
        os.kill(self.process.pid, number)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.process.returncode is None:
            self.process.close()
        self.folder.cleanup()


class Exported:
    """Servers, a daemon that exports the devices d0, d1, ... of them, and clients that have these.

    more: configuration of each device. ready: wait until all are free."""

    def __init__(self, vucd, servers, more='', ready=True):
        self.servers, self.server = servers, servers[0]
        self.paths = [f'{server.folder.name}/export' for server in servers]
        self.path = self.paths[0]
        self.clients = []
        self.daemon = vucd(''.join(device(server, f'export = {path}\n{more}', f'd{i}')
                                   for i, (server, path) in enumerate(zip(servers, self.paths))))
        for i in range(len(servers) if ready else 0):
            self.daemon.await_state(f'd{i}', 'free')

    def client(self, number=0, kind=Client, **options):
        """Connect to a device; it is closed in the end."""
        self.clients.append(kind(self.paths[number], **options))
        return self.clients[-1]

    def attach(self, kind=Qemu, number=0, **options):
        """The same of a stock VMM, which starts to use the device."""
        vmm = self.client(number, kind, **options)
        vmm.attach()
        return vmm

    def row(self, number=0):
        return self.daemon.do('devices.list')['devices'][number]

    def counters(self, number=0):
        return self.daemon.do('stats.get', device=f'd{number}')['devices'][0]

    def lose(self, number=0):
        self.servers[number].kill()
        self.daemon.await_state(f'd{number}', 'away')

    def await_left(self, number=0):
        """Wait until the last VMM of a device that is away has left: the next one may attach."""
        rig.eventually(lambda: (self.row(number)['vmm'], self.row(number)['state']) == (None, 'away'))

    def find(self, *options, number=0):
        """Start the server again."""
        self.servers[number].start(*options)
        self.await_return(number)

    def await_return(self, number=0):
        self.daemon.await_state(f'd{number}', 'attached')

    def close(self):
        for client in self.clients:
            client.close()


class Storm(rig.Vmm):
    """A VMM whose vCPUs work all the time and check what they get; storm.c says what it can be
    told."""

    program = 'VUC_TEST_STORM'

    def report(self):
        return json.loads(self.do('report'))

    def context(self):
        return f'; {self.report()}'

    def has_been_right(self, *documented):
        """Nothing that it has got was wrong; beside success, accesses had only these errors."""
        report = self.report()
        assert (report['wrong'], report['why']) == (0, ''), report
        for kind, statuses in report.items():
            if isinstance(statuses, dict) and kind != 'events':
                assert set(statuses) <= {'0', *documented}, (kind, report)
        return report


class Nvme(rig.Process):
    """A VMM that writes and verifies blocks all the time; see test_nvme_restart.c."""

    def __init__(self, daemon, device, recover='nvme'):
        super().__init__(os.environ['VUC_TEST_NVME_RESTART'], daemon.vmm_socket, device, recover,
                         stdin=subprocess.PIPE)

    def await_back(self, number):
        """Wait until it has verified all blocks after so many returns."""
        self.await_output(f'\nback {number}\n')

    def fill_admin_queue(self):
        before = self.out.count(b'\nfilled\n')
        self.process.stdin.write(b'.')
        self.process.stdin.flush()
        assert self.await_event(lambda: self.out.count(b'\nfilled\n') > before), self.out

    def finish(self):
        self.process.stdin.close()
        assert self.wait() == 0, self.out
        print(self.out.decode())

    def close(self):
        self.process.stdin.close()
        super().close()


class Holdings:
    """What a process holds on to: descriptors, mappings, and KiB of memory."""

    def __init__(self, pid):
        def count_lines(path):
            with open(path, encoding='utf-8') as file:
                return sum(1 for _ in file)
        self.pid = pid
        self.fds = len(os.listdir(f'/proc/{pid}/fd'))
        self.maps = count_lines(f'/proc/{pid}/maps')
        with open(f'/proc/{pid}/status', encoding='utf-8') as status:
            self.rss_kib = int(status.read().split('\nVmRSS:')[1].split()[0])

    def __repr__(self):
        return f'{self.fds} descriptors, {self.maps} mappings, {self.rss_kib} KiB'


class Leaks:
    """Look whether processes hold on to more in the end than after the first rounds: look(round)
    behind each of them, with processes as name=pid."""

    def __init__(self, rounds=ROUNDS):
        self.rounds = rounds
        self.before = {}
        self.begun = time.monotonic()

    def look(self, number, **pids):
        if number + 1 == FIRST_ROUNDS:
            self.before = {name: Holdings(pid) for name, pid in pids.items()}
        elif number + 1 == self.rounds:
            print(f'# {(time.monotonic() - self.begun) / self.rounds * 1000:.0f} ms a round')
            for name, pid in pids.items():
                self.compare(name, pid)

    def compare(self, name, pid):
        before, now = self.before[name], Holdings(pid)

        def is_settled():  # what is closed on another thread is closed soon
            nonlocal now
            now = Holdings(pid)
            return now.fds <= before.fds and (SANITIZED or now.maps <= before.maps + CACHED)
        try:
            rig.eventually(is_settled)
        except rig.Hung as hung:
            raise AssertionError(f'{name}: {before}, and in the end {now}') from hung
        print(f'# {name}: after {FIRST_ROUNDS} rounds {before}; after {self.rounds} {now}')
        if not SANITIZED:
            assert now.rss_kib <= before.rss_kib + 1024
