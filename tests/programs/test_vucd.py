# SPDX-License-Identifier: BSD-3-Clause
"""vucd as its operator sees it: start, stop, what it says, and its management socket."""

import json
import os
import signal
import socket
import stat

import pytest

import rig

CPUS = sorted(os.sched_getaffinity(0))
# DPDK keeps its traces under locks that ThreadSanitizer does not see; that has a thread of its own.
TSAN = 'thread' in os.environ['VUC_TEST_SANITIZE']


def mode(path):
    return stat.S_IMODE(os.stat(path).st_mode)


def device(server, more=''):
    """The section of a device disk0."""
    return f'[device disk0]\nsocket = {server.socket}\npoller = io0\n{more}'


def run(*args):
    return rig.Run(os.environ['VUCD'], *args)


def end(daemon):
    """It ends well, and leaves no sockets."""
    assert daemon.stop() == 0
    assert not os.path.exists(daemon.vmm_socket) and not os.path.exists(daemon.management)


@pytest.fixture(name='ready')
def fixture_ready(refdev, vucd):
    """A daemon with disk0, which ends well."""
    daemon = vucd(device(refdev()))
    daemon.await_state('disk0', 'free')
    yield daemon
    if daemon.process.poll() is None:
        end(daemon)


# ---- start and stop ----

def test_life(vucd):
    daemon = vucd()
    assert (mode(daemon.directory), mode(daemon.vmm_socket), mode(daemon.management)) == \
        (0o700, 0o600, 0o600)
    status = daemon.do('status')
    assert (status['state'], status['vmm_socket'], status['pid']) == \
        ('running', daemon.vmm_socket, daemon.pid)
    end(daemon)
    assert daemon.next_notification().startswith('STOPPING=1')
    assert b'notice  stopping: SIGTERM from process' in daemon.err
    assert b'notice  stopped\n' in daemon.err
    assert not os.path.exists(daemon.directory)


def test_file_prefix(vucd, folder):
    """The name in telemetry is one daemon's at a time; what a killed one has left is taken over."""
    traces = '' if TSAN else f'trace-directory = {folder}\n'
    daemon = vucd(f'telemetry = on\nfile-prefix = blue\n{traces}')
    path = f'{daemon.folder.name}/dpdk/blue/dpdk_telemetry.v2'
    assert os.path.exists(path)
    second = f'{daemon.folder.name}/second.conf'
    with open(second, 'w', encoding='utf-8') as file:
        file.write('[poller a]\nidle = sleep\n'
                   f'[vucd]\ndirectory = {daemon.directory}2\nfile-prefix = blue\n')
    refused = rig.Run(os.environ['VUCD'], '--config', second,
                      env={'RUNTIME_DIRECTORY': daemon.folder.name})
    assert refused.status == 1
    assert 'dpdk/blue: choose another file prefix than blue, or switch telemetry off\n' in \
        refused.err
    assert os.path.exists(path)
    daemon.stop(signal.SIGKILL)
    assert os.path.exists(path)
    daemon.kill_and_run()
    assert os.path.exists(path)
    assert os.listdir(folder) == []
    end(daemon)
    assert not os.path.exists(path)
    assert len(os.listdir(folder)) == (0 if TSAN else 1)


def test_modes(vucd):
    daemon = vucd(f'directory-mode = 0750\nsocket-mode = 0660\ngroup = {os.getegid()}\n')
    assert (mode(daemon.directory), mode(daemon.vmm_socket), mode(daemon.management)) == \
        (0o750, 0o660, 0o600)
    end(daemon)


def test_twice(vucd):
    """Two of them do not get into each other's way, and one that was killed is in nobody's."""
    daemon = vucd()
    second = run('--config', daemon.config)
    assert second.status == 1
    assert 'run: in use by another vucd\n' in second.err
    daemon.do('status')
    daemon.stop(signal.SIGKILL)
    assert os.path.exists(daemon.management)
    daemon.kill_and_run()
    daemon.do('status')
    end(daemon)


def test_placement(vucd):
    """A poller that may be put anywhere leaves a CPU to the one that spins there, wherever the file
    has that."""
    last = CPUS[-1]
    daemon = vucd(f'[poller a]\nidle = sleep\n[poller b]\nidle = sleep\n[poller s]\ncpu = {last}\n')
    cpus = [poller['cpu'] for poller in daemon.do('stats.get')['pollers']]
    assert cpus[3] == last
    assert len(CPUS) == 1 or last not in cpus[1:3]
    end(daemon)
    assert b'both spin' not in daemon.err


def test_crowd(vucd):
    daemon = vucd(f'[poller s]\ncpu = {CPUS[0]}\n[poller t]\ncpu = {CPUS[0]}\n')
    end(daemon)
    assert b'warning pollers s and t both spin on CPU ' in daemon.err


# ---- the command line ----

UNREACHABLE = ':7: warning: [vucd] monitor-group = 64321: its members cannot reach the socket in the ' \
              'directory of mode MODE; set, for instance, directory-mode = 0711\n'


@pytest.mark.parametrize('more,status,out,err', [
    ('[device d]\nsocket = /s\n[device e]\nsocket = /t\n', 0, 'OK: 1 poller, 2 devices\n', ''),
    ('[device d]\nsocket = /no/such/s\n', 0, 'OK: 1 poller, 1 device\n',
     ':8: warning: [device d] socket = /no/such/s: there is no folder /no/such\n'),
    ('[device d]\nsocket = /no/s\n[device e]\nsocket = /no/s\n[poller io1]\ncpu = 4095\n', 1, '',
     ':8: warning: [device d] socket = /no/s: there is no folder /no\n'
     '@:10: warning: [device e] socket = /no/s: there is no folder /no\n'
     '@:10: [device e] socket = /no/s: already used by [device d] in line 8, as socket\n'
     '@:12: [poller io1] cpu = 4095: there is no such CPU, or vucd is not allowed to use it\n'),
    ('[device d]\nsocket = /s\nexport = DIR/run/d\n', 0, 'OK: 1 poller, 1 device\n', ''),
    ('[device d]\nsocket = /s\nexport = DIR\n', 1, '',
     ':9: [device d] export = DIR: exists and is not a socket\n'),
    ('[device d]\nsocket = /s\nexport = DIR/no/d\n', 1, '',
     ':9: [device d] export = DIR/no/d: there is no folder DIR/no\n'),
    ('[device d]\nsocket = /s\nexport = DIR/run/vmm.sock\n[device e]\nsocket = /t\n'
     'export = DIR/run/management.sock\n', 1, '',
     ':9: [device d] export = DIR/run/vmm.sock: already used by vucd itself, as vmm.sock\n'
     '@:12: [device e] export = DIR/run/management.sock: already used by vucd itself, as management.sock\n'),
    ('[device d]\nsocket = /dev/null/s\n', 0, 'OK: 1 poller, 1 device\n',
     ':8: warning: [device d] socket = /dev/null/s: there is no folder /dev/null\n'),
    ('monitor-group = 64321\n', 0, 'OK: 1 poller, 0 devices\n', UNREACHABLE.replace('MODE', '0700')),
    ('monitor-group = 64321\ngroup = 64320\ndirectory-mode = 0750\n', 0, 'OK: 1 poller, 0 devices\n',
     UNREACHABLE.replace('MODE', '0750')),
    ('monitor-group = 64321\ngroup = 64321\ndirectory-mode = 0750\n', 0, 'OK: 1 poller, 0 devices\n', ''),
    ('monitor-group = 64321\ndirectory-mode = 0711\n', 0, 'OK: 1 poller, 0 devices\n', ''),
    ('[poller io1]\ncpu = 99x\n', 1, '',
     ':8: [poller io1] cpu = 99x: expected a CPU number, auto or none\n')])
def test_check(folder, more, status, out, err):
    path = f'{folder}/vucd.conf'
    with open(path, 'w', encoding='utf-8') as file:
        file.write(f'[poller io0]\ncpu = none\nidle = sleep\n[vucd]\ndirectory = {folder}/run\n'
                   f'telemetry = off\n{more.replace("DIR", folder)}')
    check = run('--check', '--config', path)
    assert (check.status, check.out, check.err) == (
        status, out, (path + err).replace('@', path).replace('DIR', folder) if err else '')


TRY = "Try `vucd --help' or `vucd --usage' for more information.\n"


@pytest.mark.parametrize('args,status,err', [
    (['--nonsense'], 2, f"vucd: unrecognized option '--nonsense'\n{TRY}"),
    (['--config'], 2, f"vucd: option '--config' requires an argument\n{TRY}"),
    (['x'], 2, f"vucd: unexpected argument 'x'\n{TRY}"),
    (['--config', '/nowhere'], 1, '/nowhere: cannot be read: No such file or directory\n'),
    (['--config', '/'], 1, '/: cannot be read: Is a directory\n')])
def test_wrong_options(args, status, err):
    wrong = run(*args)
    assert (wrong.status, wrong.err) == (status, err)


@pytest.mark.parametrize('option,text', [
    ('--help', '--check'), ('--help-config', '\n[device NAME] '), ('--help-config', '[vucd] '),
    ('--help-config', '\n[poller NAME] '), ('--help-config', '\n  idle-loops\n'),
    ('--help-config', '\n  long-timeout-ms\n      timeout for slow commands such as a reset\n'
                      '      milliseconds, 1 to 3600000; default 60000\n'),
    ('--help-config', '; required\n')])
def test_help(option, text):
    usage = run(option)
    assert usage.status == 0 and text in usage.out


# ---- devices ----

def test_device(ready):
    ready.do('stats.get', device='disk0')
    assert ready.refuses('vmms.detach', 'disk0') == 'ENOTCONN'
    ready.do('devices.remove', 'disk0')
    assert 'error' in ready.ask('devices.add', name='disk0', socket='relative')
    assert ready.refuses('devices.remove', 'disk0') == 'ENOENT'
    assert ready.refuses('vmms.detach', 'disk0') == 'ENOENT'
    end(ready)
    for text in ('cannot detach device disk0: no VMM has device disk0\n',
                 f'management (user {os.getuid()}, pid {os.getpid()}): remove device disk0',
                 'cannot add a device: socket = relative: expected ',
                 'cannot remove device disk0: there is no device disk0\n'):
        assert text in ready.err.decode()


def test_late_server(refdev, vucd, folder):
    """A server may come after the daemon, and go."""
    daemon = vucd()
    late = {'name': 'late', 'socket': f'{folder}/s', 'retry_max_ms': 100}
    daemon.do('devices.add', **late)
    assert daemon.refuses('devices.add', **late) == 'EEXIST'
    assert daemon.refuses('devices.add', name='later', socket=f'{folder}/s') == 'EADDRINUSE'
    daemon.await_state('late', 'away')
    server = refdev(at=f'{folder}/s')
    daemon.await_state('late', 'free')
    assert server.stop() == 0
    daemon.await_state('late', 'away')
    end(daemon)


def test_export_of_another(vucd, folder):
    """At the start, a device that cannot be exported is an error, and is not counted."""
    daemon = vucd(f'[device a]\nsocket = {folder}/s\nexport = {folder}/a\n'
                  f'[device b]\nsocket = {folder}/t\nexport = {folder}/no/b\n')
    assert [device['name'] for device in daemon.do('devices.list')['devices']] == ['a']
    for keys, why in (
            ({'export': f'{folder}/c', 'socket': f'{folder}/c'},
             f'export {folder}/c is already used by device c, as socket'),
            ({'export': f'{folder}/s'}, f'export {folder}/s is already used by device a, as socket'),
            ({'export': f'{folder}/a'}, f'export {folder}/a is already used by device a, as export'),
            ({'socket': f'{folder}/a'}, f'socket {folder}/a is already used by device a, as export'),
            ({'export': daemon.vmm_socket},
             f'export {daemon.vmm_socket} is already used by vucd itself, as vmm.sock'),
            ({'export': daemon.management},
             f'export {daemon.management} is already used by vucd itself, as management.sock'),
            ({'export': folder}, f'export {folder}: exists and is not a socket')):
        refused = daemon.ask('devices.add', **({'name': 'c', 'socket': f'{folder}/u'} | keys))
        assert refused['error']['message'] == f'Failed: {why}'
    end(daemon)
    log = daemon.err.decode()
    assert f' error   cannot add device b: export {folder}/no/b: bind: No such file or directory\n' in log
    assert ' ready, pollers: 1, devices: 1, VMMs at ' in log
    assert f' warning cannot add device c: export {folder}: exists and is not a socket\n' in log


def test_hung_server(vucd, folder):
    """A server that accepts and never answers delays nobody."""
    daemon = vucd()
    with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as client:
        server.bind(f'{folder}/s')
        server.listen()
        client.settimeout(rig.TIMEOUT_S)
        client.connect(daemon.management)
        client.sendall(json.dumps({
            'jsonrpc': '2.0', 'method': 'devices.add', 'id': 1,
            'params': {'name': 'hung', 'socket': f'{folder}/s', 'timeout_ms': 1000}}).encode() + b'\n')
        for _ in range(10):
            daemon.do('status')
        assert client.recv(1)
        daemon.await_state('hung', 'away')
        daemon.do('devices.remove', name='hung', force=True)
    end(daemon)


def test_fewest_devices(vucd):
    """A device that names no poller gets the one with the fewest devices."""
    daemon = vucd('[poller io1]\ncpu = none\nidle = sleep\n[device a]\nsocket = /no/a\npoller = io0\n')
    for name in 'bcd':
        daemon.do('devices.add', name, f'/no/{name}')
    daemon.do('devices.remove', 'b')
    daemon.do('devices.add', 'e', '/no/e')
    assert {row['name']: row['poller'] for row in daemon.do('devices.list')['devices']} == \
        {'a': 'io0', 'c': 'io0', 'd': 'io1', 'e': 'io1'}
    end(daemon)


# ---- VMMs ----

def test_vmm(ready, vmm):
    def attach():
        attached = rig.Run(os.environ['VUC_TEST_VMM'], ready.vmm_socket, 'disk0')
        return attached.out.split()[0]
    client = vmm(ready, 'disk0')
    ready.await_state('disk0', 'attached')
    row, = ready.do('vmms.list')['vmms']
    assert (row['device'], row['name'], row['pid']) == ('disk0', 'a test', client.pid)
    assert attach() == '-16'
    assert ready.refuses('devices.remove', 'disk0') == 'EBUSY'
    ready.do('vmms.detach', 'disk0')
    assert client.do('removed') == '0 '
    client.detach()
    ready.await_state('disk0', 'free')
    client = vmm(ready, 'disk0')
    ready.do('devices.remove', name='disk0', force=True)
    assert client.do('removed') == '0 '
    client.detach()
    assert attach() == '-2'


def test_end_with_vmm(ready, vmm):
    """A daemon that ends tells its VMMs."""
    client = vmm(ready, 'disk0')
    end(ready)
    assert client.do('gone') == '0 '
    client.detach()


def test_attach_while_starting(refdev, vucd, vmm):
    """Whoever can connect while it starts can have a device of the configuration: it waits for the
    server, which takes its time here."""
    daemon = vucd(device(refdev('--fault=delay=300@version')), ready=False)
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as client:
        rig.eventually(lambda: client.connect_ex(daemon.vmm_socket) == 0)
    vmm(daemon, 'disk0').detach()
    assert daemon.next_notification().startswith('READY=1\n')
    end(daemon)


@pytest.mark.parametrize('posts', [0, 20000])  # the latter are more than all buffers hold
def test_stopped_server(refdev, vucd, vmm, posts):
    """A server stops reading while its VMM does nothing but post; the daemon ends all the same."""
    server = refdev()
    daemon = vucd(device(server, 'timeout-ms = 500\nlong-timeout-ms = 500\n'))
    daemon.await_state('disk0', 'free')
    client = vmm(daemon, 'disk0')
    assert client.do('queue') == '0 '
    os.kill(server.pid, signal.SIGSTOP)
    client.do('fill 20000')
    if posts:
        assert client.do(f'post {posts}') == '0 '
        assert client.do('lost') == '0 '
        daemon.await_output('the server has read nothing for 500 ms', 'err')
    end(daemon)
    os.kill(server.pid, signal.SIGCONT)
    client.detach()
    assert server.stop() == 0


def test_ready_beside_hung_server(refdev, vucd, vmm):
    """It is ready though a server answers nothing: the first attempt at it would go on for an hour,
    and neither the device beside it nor the end waits for that."""
    hung = refdev('--fault=never@version')
    daemon = vucd(f'[device hung]\nsocket = {hung.socket}\ntimeout-ms = 3600000\n{device(refdev())}')
    daemon.await_state('disk0', 'free')
    vmm(daemon, 'disk0').detach()
    assert daemon.do('status')['state'] == 'starting'
    end(daemon)


def test_threads(refdev, vucd, vmm, folder):
    """However many devices there are, and servers that hang: it has a thread for each poller and VMM,
    and four more. Those that look up the path of a socket come and go."""
    listeners = [socket.socket(socket.AF_UNIX) for _ in range(100)]
    for i, listener in enumerate(listeners):
        listener.bind(f'{folder}/{i}')
        listener.listen()
    many = ''.join(f'[device d{i}]\nsocket = {folder}/{i}\n' for i in range(300))
    daemon = vucd('telemetry = on\n[poller io1]\ncpu = none\nidle = sleep\n'
                  f'{device(refdev())}{many}')
    client = vmm(daemon, 'disk0')
    rig.eventually(lambda: len(os.listdir(f'/proc/{daemon.pid}/task')) <= 2 + 1 + 4 + TSAN)
    client.detach()
    end(daemon)
    for listener in listeners:
        listener.close()


# ---- telemetry ----

def test_telemetry(refdev, vucd, vmm, folder):
    """Devices have the names of the configuration, and their counters go on over connections."""
    def expect(state, reads):
        shown = ask('/vuc/device,disk0')['/vuc/device']
        assert (shown['name'], shown['state'], shown['reads']) == ('disk0', state, reads)

    def ask(command):
        telemetry.send(command.encode())
        return json.loads(telemetry.recv(32768))

    path = f'{folder}/s'
    with socket.socket(socket.AF_UNIX) as mute:
        mute.bind(path)
        mute.listen()
        daemon = vucd(f'telemetry = on\n[device disk0]\nsocket = {path}\nretry-max-ms = 100\n')
        telemetry = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        telemetry.settimeout(rig.TIMEOUT_S)
        telemetry.connect(f'{daemon.folder.name}/dpdk/vucd/dpdk_telemetry.v2')
        telemetry.recv(32768)
        assert ask('/vuc/devices')['/vuc/devices'] == ['disk0']
        expect('away', 0)  # also while it is being connected to
    os.unlink(path)
    for reads in (1, 2):
        server = refdev(at=path)
        daemon.await_state('disk0', 'free')
        client = vmm(daemon, 'disk0')
        assert client.do('queue') == '0 '
        assert client.do('read') == '0 '
        client.detach()
        daemon.await_state('disk0', 'free')
        expect('connected', reads)
        server.stop(signal.SIGKILL)
        daemon.await_state('disk0', 'away')
    telemetry.close()
    end(daemon)


# ---- reload ----

def reloads(daemon, **expected):
    """Reload; what is not expected is empty."""
    empty = {key: [] for key in ('added', 'removed', 'changed', 'restart', 'failed')}
    assert daemon.do('reload') == empty | expected


def test_reload(refdev, vucd, vmm):
    server = refdev()
    daemon = vucd(f'[device a]\nsocket = /no/a\n[device b]\nsocket = /no/b\n{device(server)}')
    daemon.do('devices.add', name='c', socket='/no/c')
    daemon.await_state('disk0', 'free')
    client = vmm(daemon, 'disk0')
    reloads(daemon)
    # b is gone, a is another one now, and d is at the socket of b; c is not the file's.
    daemon.configure('log-level = debug\nmax-vmms = 7\n[poller io1]\nidle = sleep\n'
                     '[device a]\nsocket = /no/a\ntimeout-ms = 77\n[device d]\nsocket = /no/b\n'
                     f'[device e]\nsocket = /no/e\npoller = io1\n{device(server)}')
    reloads(daemon, added=['d'], removed=['b'], changed=['[vucd] log-level', 'a'], restart=[
        {'what': '[vucd] max-vmms', 'reason': None},
        {'what': '[poller io1]', 'reason': 'it is new'},
        {'what': '[device e]', 'reason': 'poller io1 is not running yet'}])
    assert daemon.refuses('devices.remove', 'b') == 'ENOENT'
    daemon.do('devices.remove', 'c')
    daemon.await_state('disk0', 'attached')
    assert client.do('events') == '0 '
    client.detach()
    end(daemon)


def test_reload_refused(ready, vmm):
    """What a VMM has is not taken away from it, and what a broken file says is not done."""
    client = vmm(ready, 'disk0')
    ready.configure('')
    reloads(ready, failed=[{
        'what': 'disk0', 'reason': f'device disk0 is in use by VMM a test (pid {client.pid})'}])
    client.detach()
    ready.await_state('disk0', 'free')
    ready.configure('x\n[device d]\nsocket = y\n')
    error = ready.ask('reload')['error']
    assert (error['data']['errno'], error['message']) == \
        ('EINVAL', f'Failed: {ready.config}:7: expected [SECTION] or KEY = VALUE')
    ready.do('stats.get', device='disk0')
    ready.configure('')
    reloads(ready, removed=['disk0'])
    end(ready)
    assert b':9: [device d] socket = y: expected an absolute path' in ready.err
    assert b'reload: nothing has been changed\n' in ready.err


def test_reload_busy(vucd, folder):
    """A reload waits for a new device; a second one is refused with its name, or is deferred."""
    daemon = vucd()
    with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as client:
        server.bind(f'{folder}/s')
        server.listen()
        daemon.configure(f'[device hung]\nsocket = {folder}/s\ntimeout-ms = 3600000\n')
        client.connect(daemon.management)
        client.sendall(b'{"jsonrpc": "2.0", "method": "reload", "id": 1}\n')
        daemon.await_output('reload: reading ', 'err')
        busy = daemon.ask('reload')['error']
        assert (busy['data']['errno'], busy['message']) == \
            ('EBUSY', 'Failed: another reload is waiting for device hung')
        os.kill(daemon.pid, signal.SIGHUP)
        daemon.await_output(', deferred until the current reload is done\n', 'err')
        end(daemon)
    assert b'warning reload: refused: another reload is waiting for device hung\n' in daemon.err


def test_reload_signal(refdev, vucd):
    daemon = vucd('[device a]\nsocket = /no/a\n')
    daemon.configure(f'[device a]\nsocket = /no/a\n{device(refdev())}')
    os.kill(daemon.pid, signal.SIGHUP)
    daemon.await_state('disk0', 'free')
    end(daemon)
    assert b'notice  reload: disk0 added\n' in daemon.err
    assert f'notice  reload: SIGHUP from process {os.getpid()}\n' in daemon.err.decode()
