# SPDX-License-Identifier: BSD-3-Clause
"""Pytest that prints TAP, and what the tests of programs share. Each test is one line, and so is
each row of its table; one that has asserted nothing fails, as in the C programs."""

import contextlib
import os
import tempfile

import pytest

pytest.register_assert_rewrite(  # what they assert counts, too
    'rig', 'bench_rig', 'guest_rig', 'openmetrics', 'outage_rig', 'vfio_client', 'front_client', 'front_qemu')

# pylint: disable=wrong-import-position
import rig  # noqa: E402
from guest_rig import Guest, Programs  # noqa: E402
from outage_rig import Exported, Server, Storm  # noqa: E402
from vfio_client import Client  # noqa: E402


class Tap:
    def __init__(self):
        self.count = 0
        self.failed = False
        self.asserts = 0
        self.reports = []

    def start(self):
        self.asserts = 0
        self.reports = []

    def finish(self, name):
        """Print the running test, whose set-up, call and tear-down are reported."""
        self.count += 1
        problems = [str(report.longrepr) for report in self.reports if report.failed]
        skips = [report.longrepr[2].removeprefix('Skipped: ')
                 for report in self.reports if report.skipped]
        if not problems and not skips and self.asserts == 0:
            problems = ['the test has asserted nothing']
        self.failed |= bool(problems)
        print(f'{"not ok" if problems else "ok"} {self.count} - {name}'
              f'{" # SKIP " + skips[0] if skips and not problems else ""}', flush=True)
        for problem in problems or self.figures():
            print_comment(problem)

    def figures(self):
        """What a test that has passed has printed as comments."""
        return [line[2:] for line in self.reports[-1].capstdout.splitlines() if line.startswith('# ')]


def print_comment(text):
    print('#', '\n# '.join(text.splitlines()), flush=True)


TAP = Tap()


@pytest.hookimpl(trylast=True)
def pytest_configure(config):
    config.pluginmanager.unregister(name='terminalreporter')


@pytest.hookimpl(trylast=True)
def pytest_collection_finish(session):
    print(f'1..{len(session.items)}', flush=True)


def pytest_collectreport(report):
    if report.failed:
        print_comment(str(report.longrepr))
        print('Bail out! the tests cannot be collected', flush=True)


def pytest_assertion_pass():
    TAP.asserts += 1


def pytest_runtest_logstart():
    TAP.start()


def pytest_runtest_logreport(report):
    TAP.reports.append(report)


def pytest_runtest_logfinish(nodeid):
    name = nodeid.split('::', 1)[-1].removeprefix('test_')
    TAP.finish(name.replace('#', r'\#'))


def pytest_sessionfinish(session):
    if TAP.failed:
        session.exitstatus = 1


@pytest.fixture(name='folder')
def fixture_folder():
    """A private folder whose path is short enough for sockets, removed in the end."""
    with tempfile.TemporaryDirectory(prefix='vuc-') as path:
        yield path


@pytest.fixture(name='bars')
def fixture_bars():
    """A folder in memory, for files of BARs."""
    with tempfile.TemporaryDirectory(prefix='vuc-', dir='/dev/shm') as path:
        yield path


@pytest.fixture(name='start')
def fixture_start():
    """Start programs that end with the test: start(arguments, ...) as rig.Process."""
    yield from rig.starter(rig.Process)


@pytest.fixture(name='refdev')
def fixture_refdev():
    """Start reference devices: refdev('--fault=split', ...) has a socket; see rig.Refdev."""
    yield from rig.starter(rig.Refdev)


@pytest.fixture(name='vucd')
def fixture_vucd():
    """Start daemons: vucd('[device d0]\\nsocket = ...'); see rig.Vucd."""
    yield from rig.starter(rig.Vucd)


@pytest.fixture(name='vmm')
def fixture_vmm():
    """Attach VMMs: vmm(daemon, 'd0'); see rig.Vmm."""
    yield from rig.starter(rig.Vmm)


@pytest.fixture(name='programs', scope='session')
def fixture_programs():
    """What guests are run with; the test is skipped where there is none."""
    return Programs()


@pytest.fixture(name='guest')
def fixture_guest(programs):
    """Start guests: guest(socket); see Guest."""
    for start in rig.starter(Guest):
        yield lambda *args, **options: start(programs, *args, **options)


@pytest.fixture(name='server')
def fixture_server():
    """Start servers that can be killed and started again: server('--verbose')."""
    yield from rig.starter(Server)


@pytest.fixture(name='storm')
def fixture_storm():
    """Attach VMMs that work all the time: storm(daemon, 'd0')."""
    yield from rig.starter(Storm)


@pytest.fixture(name='exported')
def fixture_exported(server, vucd):
    """exported('map = none\\n', '--mode=poll') returns an Exported with a server that has these options;
    count: with so many; servers: with those that there are."""
    with contextlib.ExitStack() as stack:
        def start(more='', *options, count=1, servers=None, ready=True):
            one = Exported(vucd, servers or [server(*options) for _ in range(count)], more, ready)
            stack.callback(one.close)
            return one
        yield start


@pytest.fixture(name='device')
def fixture_device(refdev):
    """Start a reference device with options and a client of it, which has .server: in the end no
    descriptor of a client is left in the server, which has said nothing and ends well."""
    clients = []

    def open_files(server):
        links = [os.readlink(f'/proc/{server.pid}/fd/{fd}')
                 for fd in os.listdir(f'/proc/{server.pid}/fd')]
        return [link for link in links if 'refdev-dma' not in link]  # made once, and kept

    def start(*options, **client):
        server = refdev(*options)
        Client(server.socket).close()
        with contextlib.closing(Client(server.socket)):
            before = len(open_files(server))
        clients.append((Client(server.socket, **client), before))
        clients[-1][0].server = server
        return clients[-1][0]
    yield start
    for client, before in clients:
        client.close()
        with contextlib.closing(Client(client.server.socket)):
            assert len(open_files(client.server)) == before
        assert client.server.stop() == 0
        assert client.server.err == b''


@pytest.fixture(name='client')
def fixture_client(device):
    """A client of a reference device without options."""
    return device()
