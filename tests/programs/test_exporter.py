# SPDX-License-Identifier: BSD-3-Clause
"""vuc-exporter over HTTP, and vucctl metrics: what they serve, and clients and daemons of all
manners."""

import contextlib
import http.client
import json
import os
import re
import shutil
import signal
import socket
import threading
import time
import urllib.request

import pytest

import openmetrics
import rig
from fake_daemon import Daemon, result

TEXT = 'text/plain; version=0.0.4; charset=utf-8'
OPEN = 'application/openmetrics-text; version=1.0.0; charset=utf-8'
CONNECTIONS = 32  # that the exporter serves at a time

# What changes by itself.
RESTLESS = re.compile(r'^(vuc_uptime_seconds|vuc_poller_(?:loops|sleeps|calls)_total(?:{.*})?|'
                      r'vuc_vmm_attached_seconds{.*}) [\d.]+$', re.M)


class Exporter(rig.Process):
    """A vuc-exporter of a daemon at a port of its own."""

    def __init__(self, management, *options, listen='127.0.0.1:0'):
        super().__init__(os.environ['VUC_EXPORTER'], '-l', listen, '-m', management, *options)
        with self.closed_on_failure():
            self.await_output('/metrics\n')
        self.host, self.port = re.fullmatch(
            r'serving http://\[?([\d.:]+?)\]?:(\d+)/metrics\n', self.out.decode()).groups()

    def ask(self, path='/metrics', method='GET', **headers):
        connection = http.client.HTTPConnection(self.host, int(self.port), timeout=rig.TIMEOUT_S)
        with contextlib.closing(connection):
            connection.request(method, path, headers=headers)
            reply = connection.getresponse()
            reply.text = reply.read().decode()
            return reply

    def samples(self):
        return openmetrics.samples(self.ask(Accept='application/openmetrics-text').text, True)

    def is_up(self):
        return self.samples()['vuc_up', ()] == 1


@pytest.fixture(name='exporter')
def fixture_exporter():
    """Start exporters: exporter('/path', '--timeout=5')."""
    yield from rig.starter(Exporter)


@pytest.fixture(name='used')
def fixture_used(refdev, vucd, vmm):
    """A daemon with a device that is in use, and one that is away."""
    server = refdev()
    daemon = vucd(f'[poller p]\ncpu = none\nidle = sleep\nlatency = on\n'
                  f'[device d0]\nsocket = {server.socket}\npoller = p\n'
                  f'[device away]\nsocket = /no/such\npoller = io0\n')
    client = vmm(daemon, 'd0')
    assert client.do('queue') == '0 '
    for _ in range(3):
        assert client.do('read') == '0 '
    daemon.await_state('away', 'away')
    yield daemon
    client.detach()


# ---- what is served ----

@pytest.mark.parametrize('accept,kind', [
    (None, TEXT), ('', TEXT), ('*/*', TEXT), ('text/html', TEXT), (',;,', TEXT),
    ('application/openmetrics-text', OPEN), ('Application/OpenMetrics-Text ; VERSION=1.0.0', OPEN),
    ('application/openmetrics-text;version="1.0.0"', OPEN),
    ('application/openmetrics-text;version=0.0.1', TEXT),
    ('application/openmetrics-text;version=1.0.0;q=0', TEXT),
    ('application/openmetrics-text;q=0.000', TEXT), ('application/openmetrics-text;q=x', TEXT),
    ('application/openmetrics-text;q=0.5,text/plain;q=0.6', TEXT),
    ('application/openmetrics-text;q=0.5,text/plain;q=0.50', OPEN),
    ('application/openmetrics-text;q=0.001,text/plain;version=0.0.5', OPEN),
    ('application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,'
     'text/plain;version=0.0.4;q=0.5,*/*;q=0.1', OPEN)])
def test_negotiation(folder, exporter, accept, kind):
    server = exporter(f'{folder}/none')
    reply = server.ask(**({'Accept': accept} if accept is not None else {}))
    assert (reply.status, reply.headers['Content-Type'], reply.headers['Connection']) == \
        (200, kind, 'close')
    assert openmetrics.samples(reply.text, kind == OPEN) == {('vuc_up', ()): 0}


def test_formats(used, exporter):
    """Both have the same samples, with HELP, TYPE and UNIT as each has them."""
    server = exporter(used.management)
    text = server.ask().text
    both = openmetrics.parse(text, False), openmetrics.parse(
        server.ask(Accept='application/openmetrics-text').text, True)
    names = [{key for family in families.values() for key in family.samples} for families in both]
    assert names[0] == names[1] and len(names[0]) > 80
    for name, family in both[1].items():
        unit = re.search('_(seconds|bytes)$', name)
        assert family.unit == (unit[1] if unit else None)
    assert {family.kind for family in both[1].values()} == {'counter', 'gauge', 'info', 'histogram'}


def test_values(used, exporter):
    """Each is what the daemon says, in Prometheus' units."""
    seen = exporter(used.management).samples()
    stats, listed = used.do('stats.get'), used.do('devices.list')['devices']

    def value(name, **labels):
        return seen[name, tuple(labels.items())]
    counters = {'errors': 'errors', 'timeouts': 'timeouts', 'connections': 'generation',
                'outages': 'outages', 'held_reads': 'held_reads', 'attaches': 'attaches',
                'dropped_writes': 'dropped_writes'}
    for device in stats['devices']:
        name = device['name']
        for kind, key in (('read', 'reads'), ('write', 'writes'), ('posted_write', 'posted')):
            assert value('vuc_device_accesses_total', device=name, kind=kind) == device[key]
        for direction, key in (('read', 'read_bytes'), ('write', 'written_bytes')):
            assert value('vuc_device_bytes_total', device=name, direction=direction) == device[key]
        for counter, key in counters.items():
            assert value(f'vuc_device_{counter}_total', device=name) == device[key]
        for gauge in ('queues', 'dma_maps'):
            assert value(f'vuc_device_{gauge}', device=name) == device[gauge]
        assert [labels[1][1] for (metric, labels), on in seen.items()
                if metric == 'vuc_device_state' and labels[0] == ('device', name) and on] == \
            [device['state']]
    assert value('vuc_device_accesses_total', device='d0', kind='read') == 3
    assert value('vuc_device_latency_seconds_count', device='d0') == 3
    assert value('vuc_device_latency_seconds_sum', device='d0') == \
        pytest.approx(stats['devices'][0]['latency']['sum_us'] / 1e6)
    assert ('vuc_device_latency_seconds_count', (('device', 'away'),)) not in seen
    for row in listed:
        assert value('vuc_device_info', device=row['name'], poller=row['poller']) == 1
    attached = [dict(labels) for name, labels in seen if name == 'vuc_vmm_attached_seconds']
    assert attached == [{'device': 'd0', 'vmm': 'a test', 'plane': 'shared-memory',
                         'uid': str(os.getuid())}]
    for poller in stats['pollers']:
        for counter in ('sleeps', 'calls', 'retries', 'broken_queues'):
            assert value(f'vuc_poller_{counter}_total', poller=poller['name']) <= poller[counter]
        for work in ('busy', 'empty'):
            assert 0 < value('vuc_poller_loops_total', poller=poller['name'], work=work) <= \
                poller[f'loops_{work}']
    assert value('vuc_build_info', version=used.do('status')['version']) == 1


def test_outage(refdev, vucd, vmm, exporter):
    """Its time is in seconds."""
    server = refdev()
    daemon = vucd(f'[device d0]\nsocket = {server.socket}\n')
    client = vmm(daemon, 'd0')
    server.process.kill()
    daemon.await_state('d0', 'away')
    seen = exporter(daemon.management).samples()
    device, = daemon.do('stats.get')['devices']
    assert seen['vuc_device_outages_total', (('device', 'd0'),)] == 1
    assert seen['vuc_device_outage_seconds_total', (('device', 'd0'),)] <= device['outage_ms'] / 1000
    client.detach()


def test_vucctl(used, exporter, folder):
    """vucctl metrics prints exactly the same, to a file as well."""
    server = exporter(used.management)
    for options, accept in (([], '*/*'), (['--openmetrics'], 'application/openmetrics-text')):
        printed = rig.vucctl('metrics', '-m', used.management, *options).out
        assert RESTLESS.sub(r'\1', printed) == RESTLESS.sub(r'\1', server.ask(Accept=accept).text)
    path = f'{folder}/vuc.prom'
    assert rig.vucctl('metrics', '-m', used.management, '-o', path).out == ''
    with open(path, encoding='utf-8') as file:
        assert openmetrics.samples(file.read(), False).keys() == server.samples().keys()
    assert os.listdir(folder) == ['vuc.prom']


def test_vucctl_without_vucd(folder):
    """It fails, and says so to Prometheus, too."""
    path = f'{folder}/vuc.prom'
    run = rig.vucctl('metrics', '-m', f'{folder}/none', status=1)
    assert openmetrics.samples(run.out, False) == {('vuc_up', ()): 0}
    assert 'none: cannot connect: No such file or directory' in run.err
    rig.vucctl('metrics', '-m', f'{folder}/none', '-o', path, status=1)
    with open(path, encoding='utf-8') as file:
        assert file.read() == run.out
    assert 'No such file or directory' in rig.vucctl(
        'metrics', '-m', f'{folder}/none', '-o', f'{folder}/no/such', status=1).err
    assert "metrics are not JSON; see 'vucctl stats --json'" in rig.vucctl('metrics', '-j', status=2).err


# ---- the daemon is not trusted ----

def answers(device=None, stats=None, **status):
    """What a daemon says of one device; its fields may be others."""
    listed = {'name': 'd', 'poller': 'p', 'vmm': None} | (device or {})
    counted = dict.fromkeys([
        'reads', 'writes', 'posted', 'read_bytes', 'written_bytes', 'errors', 'timeouts',
        'generation', 'outages', 'outage_ms', 'outage_last_ms', 'held_reads', 'dropped_writes',
        'attaches', 'queues', 'dma_maps'], 0) | {'name': 'd', 'state': 'free', 'latency': None}
    return [result({'version': '1', 'uptime_ms': 1, 'connections': 0} | status),
            result({'devices': [listed]}, 2),
            result({'devices': [counted | (stats or {})], 'pollers': []}, 3)]


def metrics_of(folder, given, status=0):
    """What vucctl makes of answers."""
    with Daemon(folder, given) as daemon:
        run = rig.vucctl('metrics', '-O', '-m', daemon.path, status=status)
    assert [json.loads(line)['method'] for line in daemon.requests] == \
        ['status', 'devices.list', 'stats.get'][:len(daemon.requests)]  # a monitor may call them
    return openmetrics.samples(run.out, True), run.err


@pytest.mark.parametrize('name,label', [
    ('a"b\\c\nd', 'a"b\\c\nd'), ('"} 1', '"} 1'), ('\\', '\\'), ('é€𝄞', 'é€𝄞'),
    ('\x1b[2J\r\t\x7f\u009b\u00a0', '?[2J????\u00a0'), ('x' * 300, 'x' * 256),
    ('x' * 255 + 'é', 'x' * 255), ('', '')])
def test_labels(folder, name, label):
    """Whatever a name is, it is one label's value."""
    seen, _ = metrics_of(folder, answers(
        {'name': name, 'poller': name, 'vmm': {'name': name, 'plane': name, 'uid': 5, 'attached_ms': 1005}},
        {'name': name, 'state': name}, version=name))
    assert seen['vuc_build_info', (('version', label),)] == 1
    assert seen['vuc_device_info', (('device', label), ('poller', label))] == 1
    assert seen['vuc_device_errors_total', (('device', label),)] == 0
    assert seen['vuc_device_state', (('device', label), ('state', label))] == 1
    assert seen['vuc_vmm_attached_seconds',
                (('device', label), ('vmm', label), ('plane', label), ('uid', '5'))] == 1.005


@pytest.mark.parametrize('given,lacks', [
    (answers(uptime_ms='1'), 'uptime_ms'), (answers(connections=-1), 'connections'),
    (answers(version=None), 'version'), (answers({'name': 1}), 'name'), (answers({'vmm': 1}), 'vmm'),
    (answers({'vmm': {'name': 'q', 'plane': 'p', 'uid': 0}}), 'attached_ms'),
    (answers(stats={'reads': 1.5}), 'reads'), (answers(stats={'state': None}), 'state'),
    (answers(stats={'latency': {'sum_us': 1, 'bounds_ns': [], 'counts': []}}), 'counts'),
    (answers(stats={'latency': {'sum_us': 1, 'bounds_ns': [5, 5], 'counts': [1, 1, 1]}}), 'bounds_ns'),
    (answers(stats={'latency': {'sum_us': 1, 'bounds_ns': [5], 'counts': [1, -1]}}), 'counts'),
    (answers(stats={'latency': {'bounds_ns': [5], 'counts': [1, 1]}}), 'sum_us'),
    (answers()[:2] + [result({'devices': {}, 'pollers': []}, 3)], 'devices')])
def test_wrong_answers(folder, given, lacks):
    """There are no metrics but that it is not up."""
    seen, err = metrics_of(folder, given, status=1)
    assert seen == {('vuc_up', ()): 0}
    assert err.endswith(f": the daemon's answers lack a valid '{lacks}'\n")


def test_histogram(folder):
    seen, _ = metrics_of(folder, answers(stats={'latency': {
        'sum_us': 2000003, 'bounds_ns': [1, 1000, 1000000000], 'counts': [1, 0, 2, 4]}}))
    assert {labels[-1][1]: value for (name, labels), value in seen.items() if 'bucket' in name} == \
        {'1e-09': 1, '1e-06': 1, '1.0': 3, '+Inf': 7}
    assert seen['vuc_device_latency_seconds_sum', (('device', 'd'),)] == 2.000003


@pytest.mark.parametrize('given', [[], answers()[:1], answers()[:2]])
def test_hang_up(folder, given):
    assert metrics_of(folder, given + [Daemon.HANG_UP], status=1)[0] == {('vuc_up', ()): 0}


def test_one_deadline(folder):
    """It is one for all answers together, each of which comes in time."""
    with Daemon(folder, answers(), late_s=0.4) as daemon:
        run = rig.vucctl('metrics', '-t', '1000', '-m', daemon.path, status=1)
    assert run.err.endswith('the daemon has not answered within 1000 ms\n')
    assert len(daemon.requests) <= 3


def test_hung_daemon(vucd, exporter):
    """One that is stopped is not up, and reported once; nothing is left behind."""
    daemon = vucd()
    server = exporter(daemon.management, '--timeout=50')
    assert server.is_up()
    files = len(os.listdir(f'/proc/{server.pid}/fd'))
    os.kill(daemon.pid, signal.SIGSTOP)
    rig.eventually(lambda: not server.is_up())
    assert not server.is_up() and not server.is_up()
    os.kill(daemon.pid, signal.SIGCONT)
    rig.eventually(server.is_up)
    assert daemon.stop() == 0
    rig.eventually(lambda: not server.is_up())
    rig.eventually(lambda: len(os.listdir(f'/proc/{server.pid}/fd')) == files)
    assert server.stop() == 0
    lines = [line.rpartition(': ')[2] for line in server.err.decode().splitlines()]
    assert lines == ['the daemon has not answered within 50 ms', 'answers again',
                     'No such file or directory']


@pytest.mark.skipif(os.geteuid() != 0, reason='only root can become another user')
@pytest.mark.skipif(not shutil.which('setpriv'), reason='setpriv is not installed')
@pytest.mark.parametrize('group,up', [(64321, True), (64322, False)])
def test_monitor(folder, vucd, start, group, up):
    """It needs no more than monitor-group, and no less."""
    daemon = vucd('monitor-group = 64321\ndirectory-mode = 0711\n')
    for path in (folder, daemon.folder.name):
        os.chmod(path, 0o711)
    os.chmod(daemon.management, 0o666)  # else the kernel refuses others first
    program = shutil.copy(os.environ['VUC_EXPORTER'], folder)  # where others can run it
    server = start('setpriv', '--reuid=65534', '--regid=65534', f'--groups={group}', program,
                   '--listen=127.0.0.1:0', '--management', daemon.management)
    server.await_output('/metrics\n')
    with urllib.request.urlopen(server.out.decode().split()[1], timeout=rig.TIMEOUT_S) as reply:
        seen = openmetrics.samples(reply.read().decode(), False)
    assert seen['vuc_up', ()] == up
    if not up:
        server.await_output('and not in group 64321\n', 'err')


# ---- clients are not trusted ----

@pytest.mark.parametrize('method,path,status', [
    ('GET', '/', 200), ('HEAD', '/', 200), ('HEAD', '/metrics', 200), ('GET', '/metrics?x=y', 200),
    ('GET', '/metrics/', 404), ('GET', '//metrics', 404), ('GET', '/../metrics', 404),
    ('POST', '/metrics', 405), ('PUT', '/metrics', 405), ('DELETE', '/', 405),
    ('OPTIONS', '*', 405), ('BREW', '/', 405)])
def test_requests(folder, exporter, method, path, status):
    reply = exporter(f'{folder}/none').ask(path, method)
    assert (reply.status, reply.headers['Connection']) == (status, 'close')
    assert (reply.text == '') == (method == 'HEAD')
    assert (reply.headers['Allow'] == 'GET, HEAD') == (status == 405)
    assert int(reply.headers['Content-Length']) > 0


@pytest.mark.parametrize('bytes_', [
    b'\r\n\r\n', b'\0' * 100, b'GET\r\n\r\n', b'GET /metrics HTTP/9.9\r\n\r\n',
    b'GET / HTTP/1.1\r\nHost: x\r\nX: ' + b'x' * 100000 + b'\r\n\r\n',
    b'GET /' + b'x' * 100000 + b' HTTP/1.1\r\nHost: x\r\n\r\n',
    b'POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\nx',
    b'POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n',
    b'GET / HTTP/1.1\r\nHost: x\r\nAccept: ' + b',;=' * 3000 + b'\r\n\r\n'])
def test_garbage(folder, exporter, bytes_):
    """It has an error or an answer, and the next one is served."""
    server = exporter(f'{folder}/none')
    with socket.create_connection((server.host, server.port), rig.TIMEOUT_S) as client:
        with contextlib.suppress(ConnectionError):
            client.sendall(bytes_)
            with contextlib.suppress(OSError):  # ENOTCONN: it has been disconnected
                client.shutdown(socket.SHUT_WR)
            while client.recv(65536):
                pass
    assert server.ask().status == 200
    assert server.stop() == 0


def test_slow_clients(folder, exporter):
    """As many as are served at all say a byte now and then: each has to go, and others come in."""
    server = exporter(f'{folder}/none')
    with contextlib.ExitStack() as stack:
        def connect():
            return stack.enter_context(
                socket.create_connection((server.host, server.port), rig.TIMEOUT_S))
        slow = [connect() for _ in range(CONNECTIONS)]
        last = connect()
        last.sendall(b'GET / HTTP/1.1\r\nHost: x\r\n\r\n')
        last.setblocking(False)
        said = 0

        def is_served():
            nonlocal said
            if time.monotonic() > said + 0.5:
                said = time.monotonic()
                for client in slow:
                    with contextlib.suppress(ConnectionError):
                        client.sendall(b'G')
            with contextlib.suppress(BlockingIOError):
                return last.recv(65536).startswith(b'HTTP/1.1 200 ')
            return False
        rig.eventually(is_served)
    assert server.stop() == 0


def test_unread(used, exporter):
    """Who does not read keeps nobody else from being served; the end comes at once nevertheless."""
    server = exporter(used.management)
    with contextlib.ExitStack() as stack:
        for _ in range(CONNECTIONS // 2):
            client = stack.enter_context(socket.socket())
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
            client.connect((server.host, int(server.port)))
            client.sendall(b'GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n')
        assert server.is_up()
        assert server.stop() == 0


def test_shared_answer(folder, exporter):
    """What comes together is asked of the daemon once, or a few times on a slow machine."""
    asked = []

    def hang_up():
        with contextlib.suppress(OSError):
            while True:
                asked.append(listener.accept()[0].close())
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f'{folder}/s')
        listener.listen(CONNECTIONS)
        thread = threading.Thread(target=hang_up, daemon=True)
        server = exporter(f'{folder}/s', '--timeout=60000')
        with contextlib.ExitStack() as stack:
            clients = [stack.enter_context(socket.create_connection((server.host, server.port)))
                       for _ in range(CONNECTIONS)]
            for client in clients:
                client.sendall(b'GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n')
            thread.start()
            for client in clients:
                with client.makefile('rb') as file:
                    assert b'\nvuc_up 0\n' in file.read()
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()
    assert 0 < len(asked) < CONNECTIONS / 2


# ---- the command line ----

@pytest.mark.parametrize('args,status,text', [
    (['x'], 2, "unexpected argument 'x'"), (['--timeout=0'], 2, '60000'), (['-m', ''], 2, '1 to 107'),
    *[([f'--listen={address}'], 2, f"'{address}' is not ADDRESS:PORT or, for IPv6, [ADDRESS]:PORT")
      for address in ('127.0.0.1', ':1', '::1:80', '[]:1', '[::1:1', '127.0.0.1:', '127.0.0.1:65536',
                      '127.0.0.1:x', 'x' * 64 + ':1')],
    *[([f'--listen={address}'], 1, f'{address}: expected an IP address')
      for address in ('localhost:0', '127.0.0.256:0', '[127.0.0.1:0]:0')],
    (['--listen=192.0.2.1:0'], 1, 'cannot listen on 192.0.2.1:0: ')])
def test_usage(args, status, text):
    run = rig.Run(os.environ['VUC_EXPORTER'], *args)
    assert (run.status, run.out) == (status, '')
    assert run.err.startswith('vuc-exporter: ') and text in run.err


def test_port_in_use(folder, exporter):
    server = exporter(f'{folder}/none')
    run = rig.Run(os.environ['VUC_EXPORTER'], '-l', f'127.0.0.1:{server.port}')
    assert (run.status, run.out) == (1, '')
    assert run.err == f'vuc-exporter: cannot listen on 127.0.0.1:{server.port}: Address already in use\n'


def test_ipv6(folder, exporter):
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(('::1', 0))
    except OSError:
        pytest.skip('there is no IPv6')
    assert exporter(f'{folder}/none', listen='[::1]:0').ask('/').status == 200


def test_no_stdout():
    """Nobody could know where it listens."""
    with open('/dev/full', 'wb') as full:
        run = rig.Run(os.environ['VUC_EXPORTER'], '-l', '127.0.0.1:0', stdout=full)
    assert run.status == 1 and 'No space left on device' in run.err
