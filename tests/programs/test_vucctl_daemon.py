# SPDX-License-Identifier: BSD-3-Clause
"""vucctl's commands for the daemon, on a vucd with a reference device and VMMs."""

import json
import os
import re
import signal

import pytest

import rig


class Setup:
    """A daemon with a device disk0."""

    def __init__(self, refdev, vucd):
        self.refdev, self.vucd = refdev, vucd
        self.device = self.daemon = None

    def start(self, more=''):
        self.device = self.refdev()
        self.daemon = self.vucd(f'[device disk0]\nsocket = {self.device.socket}\npoller = io0\n{more}')
        self.daemon.await_state('disk0', 'free')
        return self

    def run(self, *args, status=0):
        run = rig.vucctl(*args, '-m', self.daemon.management, status=status)
        assert '\033' not in run.out
        assert (run.err == '') == (status == 0)
        return run

    def json(self, *args):
        return self.run(*args, '--json').json()

    def start_watch(self, start, *options, **popen):
        process = start(os.environ['VUCCTL'], 'stats', '--watch', '--interval=0.1', *options, '-m',
                        self.daemon.management, **popen)
        process.await_output('\n')
        return process


@pytest.fixture(name='setup')
def fixture_setup(refdev, vucd):
    setup = Setup(refdev, vucd)
    yield setup
    if setup.daemon.process.poll() is None:
        assert setup.daemon.stop() == 0


@pytest.fixture(name='all_')
def fixture_all(setup):
    return setup.start()


def test_status(all_):
    out = all_.run('status').out
    assert out.startswith(f'Daemon\n  version         0.1.0\n  pid             {all_.daemon.pid}\n')
    assert f'  VMM socket      {all_.daemon.vmm_socket}\n' in out
    assert '  devices         0 attached, 1 free, 0 away, 0 cleaning\n' in out
    root = all_.json('status')
    assert (root['pid'], root['state'], root['devices']['free']) == (all_.daemon.pid, 'running', 1)


def test_default_path(all_, folder):
    """The socket is found where the daemon has it by default."""
    os.symlink(os.path.dirname(all_.daemon.management), f'{folder}/vucd')
    home = {'XDG_RUNTIME_DIR': folder}
    assert rig.vucctl('status', env=home).status == 0
    os.unlink(f'{folder}/vucd')
    if not os.path.exists('/run/vucd'):
        assert '/run/vucd/management.sock: cannot connect: ' in \
            rig.vucctl('status', env=home, status=1).err
    named = {'VUCD_MANAGEMENT_SOCKET': all_.daemon.management}
    assert rig.vucctl('status', env=home | named).status == 0
    named = {'VUCD_MANAGEMENT_SOCKET': '/nonexistent/s'}
    assert '/nonexistent/s: cannot connect: ' in rig.vucctl('status', env=named, status=1).err


def test_devices(all_, vmm):
    socket = re.escape(all_.device.socket)
    assert re.fullmatch(
        r'NAME   STATE  SINCE                CONNECTION  POLLER  VMM  QUEUES  SOCKET +EXPORT\n'
        rf'disk0  free   \d{{4}}-\d\d-\d\d \d\d:\d\d:\d\d           1  io0     -         -  {socket}  -\n',
        all_.run('devices').out)
    device, = all_.json('devices')['devices']
    assert (device['name'], device['state'], device['vmm']) == ('disk0', 'free', None)
    client = vmm(all_.daemon, 'disk0')
    assert re.search(rf'  1  io0     {client.pid} .* a test       0  {socket}  -\n',
                     all_.run('devices').out)
    device, = all_.json('devices')['devices']
    seen = device['vmm']
    assert seen.keys() >= {'dma_maps', 'attached_ms'}
    assert {key: seen[key] for key in ('pid', 'uid', 'name', 'queues')} == {
        'pid': client.pid, 'uid': os.getuid(), 'name': 'a test', 'queues': 0}
    client.detach()
    all_.daemon.await_state('disk0', 'free')


def test_not_answering(setup, vmm):
    """A server that hangs and goes on is seen everywhere: state, log, statistics, the VMM."""
    setup.start('timeout-ms = 500\n')
    client = vmm(setup.daemon, 'disk0')
    assert client.do('queue') == '0 '
    os.kill(setup.device.pid, signal.SIGSTOP)
    assert client.do('read').startswith('-110 ')
    assert client.do('silent') == '0 '
    setup.daemon.await_output('disk0: the server is not answering: ', 'err')
    device, = setup.json('devices')['devices']
    assert (device['state'], device['generation']) == ('not-answering', 1)
    assert device['since_ms'] >= 40
    assert device['reason'].startswith('requests time out: the server has sent nothing')
    out = setup.run('devices').out
    assert '\ndisk0  not-answering  ' in out and '\n\ndisk0: requests time out: the server ' in out
    assert ', 0 cleaning, 1 not answering\n' in setup.run('status').out
    assert setup.json('stats', 'disk0')['devices'][0]['timeouts'] == 1
    os.kill(setup.device.pid, signal.SIGCONT)
    assert client.do('answers') == '0 '
    setup.daemon.await_state('disk0', 'attached')
    setup.daemon.await_output('disk0: the server answers again, after ', 'err')
    client.detach()


def test_lost_while_not_answering(setup, vmm):
    """A server that ends instead of going on is lost, and nobody says that it answers again."""
    setup.start('timeout-ms = 500\n')
    client = vmm(setup.daemon, 'disk0')
    assert client.do('queue') == '0 '
    os.kill(setup.device.pid, signal.SIGSTOP)
    assert client.do('read').startswith('-110 ')
    assert client.do('silent') == '0 '
    setup.device.stop(signal.SIGKILL)
    setup.daemon.await_output('disk0: lost: ', 'err')
    assert b'answers again' not in setup.daemon.err
    client.detach()


def test_stale(setup, refdev, vmm):
    """A VMM that goes on with a device whose server was restarted is told what to do."""
    setup.start('retry-max-ms = 100\noutage = fail\n')
    client = vmm(setup.daemon, 'disk0')
    path = setup.device.socket
    setup.device.stop(signal.SIGKILL)
    os.unlink(path)
    setup.daemon.await_state('disk0', 'away')
    second = refdev()
    os.symlink(second.socket, path)
    setup.daemon.await_state('disk0', 'stale')
    device, = setup.json('devices')['devices']
    assert device['generation'] == 2
    assert 'has to detach and to attach again' in device['reason']
    out = setup.run('devices').out
    assert '\ndisk0  stale  ' in out and 'has to detach and to attach again' in out
    assert client.do('map 1') == '0 '
    for what in ('reset', 'commit'):
        assert re.fullmatch(r'-\d+ .*has ended \(.*\): detach, and attach again.*', client.do(what))
    client.detach()
    setup.daemon.await_state('disk0', 'free')
    os.unlink(path)


def test_add_and_remove(all_):
    late = f'{all_.daemon.folder.name}/late'
    out = all_.run('add', 'late', late, '--poller=io0', '--retry-max', '100', '-u', 'root, 7',
                   '-g0', '--dma=message', '--posted-writes=off', '--reset=trust', '--io-fds=off',
                   '--max-dma-maps=64').out
    assert out.startswith('added late, which is away: ')
    assert '.sock: device late exists already' in all_.run('add', 'late', late, status=1).err
    assert f'{late}  -\n\nlate: ' in all_.run('devices').out
    assert all_.run('remove', 'late').out == ''
    assert '.sock: there is no device late' in all_.run('remove', 'late', status=1).err
    assert all_.run('remove', 'disk0').out == ''
    assert all_.run('add', 'disk0', all_.device.socket).out == 'added disk0, now free\n'


def test_add_and_remove_json(all_):
    root = all_.json('add', 'other', 'nonexistent/s')
    # The daemon is told where the socket is, and not where it would be for itself.
    assert {key: root[key] for key in ('name', 'state', 'socket')} == {
        'name': 'other', 'state': 'away', 'socket': f'{os.getcwd()}/nonexistent/s'}
    assert all_.json('remove', '--force', 'other') == {'device': 'other', 'removed': True}


def test_reload(all_):
    same = '[device a]\nsocket = /no/a\n'
    all_.daemon.configure(f'max-vmms = 7\n{same}'
                          f'[device disk0]\nsocket = {all_.device.socket}\npoller = io0\n')
    assert all_.run('reload').out == 'added a\nneeds a restart: [vucd] max-vmms\n'
    all_.daemon.configure(same)
    assert all_.json('reload')['removed'] == ['disk0']
    assert all_.run('reload').out == 'no changes\n'
    all_.daemon.configure('x\n')
    assert 'vucd.conf:7: expected [SECTION] or KEY = VALUE' in all_.run('reload', status=1).err


def test_taken_away(all_, vmm):
    client = vmm(all_.daemon, 'disk0')
    assert '.sock: ' in all_.run('remove', 'disk0', status=1).err
    assert all_.json('devices')['devices'][0]['state'] == 'attached'
    assert all_.run('detach', 'disk0').out == ''
    assert client.do('removed') == '0 '
    client.detach()
    all_.daemon.await_state('disk0', 'free')
    assert '.sock: no VMM has device disk0' in all_.run('detach', 'disk0', status=1).err
    client = vmm(all_.daemon, 'disk0')
    assert all_.json('detach', 'disk0') == {'device': 'disk0', 'detached': True}
    assert client.do('removed') == '0 '
    client.detach()
    all_.daemon.await_state('disk0', 'free')
    client = vmm(all_.daemon, 'disk0')
    assert all_.run('remove', '--force', 'disk0').out == ''
    assert all_.run('add', '--timeout=20000', 'disk0', all_.device.socket).out == \
        'added disk0, now free\n'
    assert client.do('removed') == '0 '


@pytest.mark.parametrize('args,text', [
    (['add', 'a/b', '/s'], '.sock: name = a/b: expected at most '),
    (['add', '-p', 'io9', 'a', '/s'], 'io9'),
    (['add', '-u', 'no such user', 'a', '/s'], '.sock: users = no,such,user: '),
    (['detach', 'a'], '.sock: there is no device a'),
    (['stats', 'disk1'], '.sock: there is no device disk1'),
    (['stats', '--watch', 'disk1'], '.sock: there is no device disk1')])
def test_errors(all_, args, text):
    assert text in all_.run(*args, status=1).err


# ---- statistics ----

def test_stats(all_):
    out = all_.run('stats').out
    assert out.startswith('DEVICE  STATE  READS  ')
    for text in ('  TIMEOUTS  QUEUES  DMA MAPS  ATTACHES  OUTAGES  LAST OUTAGE  HELD  DROPPED\n',
                 '\ndisk0   free  ', '\n\nPOLLER  CPU  IDLE   TRANSPORT  ', '\nio0       -  sleep  '):
        assert text in out
    out = all_.run('stats', 'disk0').out
    assert '\ndisk0   free  ' in out and 'POLLER' not in out
    root = all_.json('stats')
    assert [device['name'] for device in root['devices']] == ['disk0']
    assert [poller['name'] for poller in root['pollers']] == ['io0']
    assert root['pollers'][0]['loops_busy'] >= 0


def test_watch(all_):
    title, *lines = all_.run('stats', '--watch', '--interval=0.1', '--count=2').out.splitlines()
    assert title == 'TIME  DEVICE  STATE  READS/S  WRITES/S  POSTED/S  ERRORS/S  QUEUES  DMA MAPS'
    assert len(lines) == 2
    assert all(re.match(r' +\d+\.\d  disk0   free         0  ', line) for line in lines)


def test_watch_json(all_):
    lines = all_.run('stats', '-wj', '-i0.1', '-c2', 'disk0').out.splitlines()
    assert len(lines) == 2
    for root in map(json.loads, lines):
        device, = root['devices']
        assert (device['name'], device['reads_per_s']) == ('disk0', 0)
        assert root['time_ms'] >= root['interval_ms'] > 0


def test_rates(all_, vmm, start):
    """What a VMM does shows as a rate."""
    client = vmm(all_.daemon, 'disk0')
    assert client.do('queue') == '0 '
    process = all_.start_watch(start, '--json')
    while not re.search(rb'"reads_per_s":[1-9]', process.out):
        assert client.do('read') == '0 '
        seen = len(process.out)
        assert process.await_event(lambda: len(process.out) > seen)  # pylint: disable=cell-var-from-loop
    assert process.stop() == 0
    client.detach()


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_watch_signal(all_, start, number):
    process = all_.start_watch(start)
    assert process.stop(number) == 0
    assert process.err == b''


def test_watch_terminal(all_, start):
    """On a terminal each table takes the place of the one before."""
    process = all_.start_watch(start, '--count=2', tty=(24, 80), env={'TERM': 'xterm'})
    assert process.wait() == 0
    assert process.out.startswith(b'DEVICE  STATE  READS/S  ')
    assert b'TIME' not in process.out
    assert b'\033[J\033[2A\rDEVICE  ' in process.out


def test_watch_small_terminal(all_, start):
    """What there is no room for is left out."""
    process = all_.start_watch(start, '--count=2', tty=(2, 10), env={'TERM': 'xterm'})
    assert process.wait() == 0
    assert process.out.split(b'\033[1A\r') == [b'DEVICE  ST\033[K\r\n\033[J'] * 2


def test_watch_dumb_terminal(all_, start):
    process = all_.start_watch(start, '--count=2', tty=(24, 80), env={'TERM': 'dumb'})
    assert process.wait() == 0
    assert process.out.startswith(b'TIME  ') and b'\033' not in process.out


def test_daemon_ends(all_, start):
    process = all_.start_watch(start)
    assert all_.daemon.stop() == 0
    assert process.wait() == 1
    assert process.err.endswith(b': the daemon has closed the connection\n')
