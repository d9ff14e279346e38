# SPDX-License-Identifier: BSD-3-Clause
"""vucd's management socket: JSON-RPC, the methods, and clients of all manners."""

import contextlib
import json
import os
import resource
import select
import signal
import socket

import pytest

import rig

PARSE, REQUEST, METHOD, PARAMS, FAILED = -32700, -32600, -32601, -32602, -32000
WORDS = {PARSE: 'Parse error', REQUEST: 'Invalid request', METHOD: 'Method not found',
         PARAMS: 'Invalid params', FAILED: 'Failed'}
NO_ID = 'expected an id that is an integer, null or a string of at most 64 bytes'
NAME = 'at most 63 letters, digits and "._-"'


class Client(socket.socket):
    """Says lines and hears answers."""

    def __init__(self, daemon):
        super().__init__(socket.AF_UNIX)
        self.connect(daemon.management)  # waits for room in the backlog
        self.settimeout(rig.TIMEOUT_S)
        self.lines = self.makefile('rb')

    def say(self, *requests):
        self.sendall(b''.join(json.dumps(request).encode() + b'\n' for request in requests))

    def hear(self):
        return json.loads(self.lines.readline())

    def is_silent(self):
        return not select.select([self], [], [], 0)[0]

    def is_over(self):
        try:
            return self.lines.readline() == b''
        except ConnectionResetError:  # not all that was said was read
            return True

    def close(self):
        self.lines.close()
        super().close()


def call(method, *args, number=1, **params):
    return {'jsonrpc': '2.0', 'method': method, 'params': args or params, 'id': number}


def result(value, number=1):
    return {'jsonrpc': '2.0', 'result': value, 'id': number}


def error(code, text, number=1, **data):
    fields = {'code': code, 'message': f'{WORDS[code]}: {text}'}
    return {'jsonrpc': '2.0', 'error': fields | ({'data': data} if data else {}), 'id': number}


X, NO_X = call('x'), error(METHOD, 'x')


class Silent:
    """A server that accepts and never answers, at as many paths as it is asked for. Whoever adds it
    as a device waits until it ends a connection."""

    def __init__(self, folder):
        self.folder = folder
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.settimeout(rig.TIMEOUT_S)
        self.listener.bind(f'{folder}/silent')
        self.listener.listen(128)

    def add(self, name, number=1):
        os.symlink('silent', f'{self.folder}/{name}')
        return call('devices.add', name=name, socket=f'{self.folder}/{name}', number=number)

    def await_connection(self):
        return self.listener.accept()[0]

    def close(self):
        """End all connections, and take no more."""
        self.listener.close()


@pytest.fixture(name='silent')
def fixture_silent(folder):
    silent = Silent(folder)
    yield silent
    silent.close()


@pytest.fixture(name='daemon', scope='module')
def fixture_daemon():
    """One for the tests that leave nothing in it."""
    with rig.Vucd() as daemon:
        yield daemon
        assert daemon.stop() == 0


@pytest.fixture(name='fresh')
def fixture_fresh(vucd):
    """One that has as many descriptors in the end as in the beginning."""
    def count():
        return len(os.listdir(f'/proc/{daemon.pid}/fd'))
    daemon = vucd()
    daemon.do('status')
    with Client(daemon) as client:
        client.say(X)  # by its answer the daemon has seen the end of the one before
        client.hear()
        before = count() - 1
    daemon.is_quiet = lambda: count() == before
    yield daemon
    for device in daemon.do('devices.list')['devices']:
        daemon.do('devices.remove', device['name'])
    rig.eventually(daemon.is_quiet)
    assert daemon.stop() == 0


@pytest.fixture(name='client')
def fixture_client(daemon):
    with Client(daemon) as client:
        yield client


# ---- the protocol ----

@pytest.mark.parametrize('line,answer', [
    (b'{"jsonrpc"', error(PARSE, 'byte 10: unexpected end of data', None)),
    (b'\0\0', error(PARSE, 'byte 0: unexpected character', None)),
    (b'"\xff\xfe"', error(PARSE, 'byte 1: not UTF-8', None)),
    (b'[' * 30, error(PARSE, 'byte 17: nesting too deep', None)),
    (b'{"id":12345678901234567890}', error(PARSE, 'byte 24: a number too long', None)),
    (b'{"a":1,"a":1}', error(PARSE, 'an object has two members of one name', None)),
    (b'1', error(REQUEST, 'expected an object', None)),
    (b'null', error(REQUEST, 'expected an object', None)),
    (b'{}', error(REQUEST, 'expected "jsonrpc":"2.0"', None)),
    (b'{"jsonrpc":"1.0","method":"status","id":1}', error(REQUEST, 'expected "jsonrpc":"2.0"')),
    (b'{"jsonrpc":"2.0","method":7,"id":1}', error(REQUEST, 'expected a method that is a string')),
    (b'{"jsonrpc":"2.0","id":1}', error(REQUEST, 'expected a method that is a string')),
    (b'{"jsonrpc":"2.0","method":"status","params":null,"id":1}',
     error(REQUEST, 'expected params that are an object or an array'))])
def test_no_request(client, line, answer):
    client.sendall(line + b'\n')
    assert client.hear() == answer
    client.say(X)
    assert client.hear() == NO_X


def test_answer(client):
    """Nothing is in an answer but what has to be; blank lines have none."""
    client.sendall(b'\n \t\r\n{"jsonrpc":"2.0","method":"/\xc3\xa9","id":1}\r\n')
    assert client.lines.readline() == (
        b'{"jsonrpc":"2.0","error":{"code":-32601,"message":"Method not found: /\xc3\xa9"},"id":1}\n')


@pytest.mark.parametrize('number', [
    None, 0, -999999999999999999, 999999999999999999, '', 'a\n"é', 'a' * 64])
def test_id(client, number):
    client.say(call('x', number=number))
    assert client.hear() == error(METHOD, 'x', number)


@pytest.mark.parametrize('number', [1.5, True, [1], {}, 1e2, 'a' * 65])
def test_no_id(client, number):
    client.say(call('x', number=number))
    assert client.hear() == error(REQUEST, NO_ID, None)


@pytest.mark.parametrize('request_,answer', [
    (call('rpc.x'), error(METHOD, 'rpc.x')),
    (call(''), error(METHOD, '')),
    (call('Status'), error(METHOD, 'Status')),
    (call('status', a=1), error(PARAMS, 'status has no parameter a')),
    (call('status', 1), error(PARAMS, 'status takes at most 0 parameters')),
    (call('log.set_level'),
     error(PARAMS, 'log.set_level: level is missing: expected a string')),
    (call('log.set_level', None),
     error(PARAMS, 'log.set_level: level is missing: expected a string')),
    (call('log.set_level', 1), error(PARAMS, 'log.set_level: level: expected a string')),
    (call('log.set_level', 'info'),
     error(PARAMS, 'level = info: expected error, warning, notice or debug')),
    (call('devices.remove', name='a', force=1),
     error(PARAMS, 'devices.remove: force: expected true or false')),
    (call('devices.remove', 'a/b'),
     error(FAILED, 'invalid device name', errno='ENOENT')),
    (call('devices.remove', 'é'),
     error(FAILED, 'invalid device name', errno='ENOENT')),
    (call('vmms.detach'), error(PARAMS, 'vmms.detach: device is missing: expected a string')),
    (call('vmms.detach', 'c'), error(FAILED, 'there is no device c', errno='ENOENT')),
    (call('devices.add', 'a'),
     error(PARAMS, 'devices.add: socket is missing: expected a string')),
    (call('devices.add', *['a'] * 27), error(PARAMS, 'devices.add takes at most 26 parameters')),
    (call('devices.add', name='a', socket='/s', timeout_ms=-1),
     error(PARAMS, 'devices.add: timeout_ms: expected an integer, 0 or more')),
    (call('devices.add', name='a', socket='/s', users=[1]),
     error(PARAMS, 'devices.add: users: expected an array of strings')),
    (call('devices.add', name='a', socket='/s', io_fds='on'),
     error(PARAMS, 'devices.add: io_fds: expected true or false')),
    (call('devices.add', 'a/b', '/s'), error(PARAMS, f'name = a/b: expected {NAME}')),
    (call('devices.add', 'a' * 64, '/s'), error(PARAMS, f'name = {"a" * 64}: expected {NAME}')),
    (call('devices.add', 'a', 's'),
     error(PARAMS, 'socket = s: expected an absolute path of at most 107 bytes')),
    (call('devices.add', 'a', 'é\a'),
     error(PARAMS, 'socket = é?: expected an absolute path of at most 107 bytes')),
    (call('devices.add', 'a', '/s', 'auto', 'no'),
     error(PARAMS, 'dma = no: expected shared or message')),
    (call('devices.add', 'a', '/s', 'p'), error(FAILED, 'there is no poller p', errno='ENOENT')),
    (call('devices.add', name='a', socket='/s', max_dma_maps=0),
     error(PARAMS, 'max-dma-maps = 0: expected a number, 1 to 65535')),
    (call('devices.add', name='a', socket='/s', users=['0,1']),
     error(PARAMS, 'users: expected at most 255 bytes, and no comma in a name')),
    (call('devices.add', name='a', socket='/s', users=['1'] * 129),
     error(PARAMS, 'users: expected at most 255 bytes, and no comma in a name')),
    (call('devices.add', name='a', socket='/s', groups=['root', 'nosuch']),
     error(PARAMS, 'groups = root,nosuch: there is no group nosuch; expected names or numbers of at '
                   'most 32 existing groups, separated by commas, or none')),
    (call('devices.add', name='a', socket='/s', retry_min_ms=60000),
     error(PARAMS, 'retry-min-ms = 60000 is more than retry-max-ms = 5000')),
    (call('stats.get', 'x'), error(FAILED, 'there is no device x', errno='ENOENT')),
    (call('stats.get', poller='x'), error(FAILED, 'there is no poller x', errno='ENOENT'))])
def test_refused(client, daemon, request_, answer):
    client.say(request_)
    assert client.hear() == answer
    assert daemon.do('devices.list') == {'devices': []}


def test_notifications(client, daemon):
    """Requests without an id are carried out and not answered, whatever comes of them."""
    note = {'jsonrpc': '2.0', 'method': 'devices.remove', 'params': ['noted']}
    status = {'jsonrpc': '2.0', 'method': 'status'}
    client.say(note, status, {'jsonrpc': '2.0', 'method': 'nothing'}, [note, status, note], X)
    assert client.hear() == NO_X
    daemon.drain()
    assert daemon.err.count(b'cannot remove device noted: there is no device noted\n') == 3


@pytest.mark.parametrize('batch,answer', [
    ([], error(REQUEST, 'a batch without requests', None)),
    ([1] * 65, error(REQUEST, 'a batch of more than 64 requests', None)),
    ([1, 2], [error(REQUEST, 'expected an object', None)] * 2),
    ([X], [NO_X]),
    ([X] * 64, [NO_X] * 64),
    ([call('vmms.detach', 'a', number=2), {'jsonrpc': '2.0', 'method': 'x'}, X],
     [error(FAILED, 'there is no device a', 2, errno='ENOENT'), NO_X])])
def test_batch(client, batch, answer):
    client.say(batch)
    assert client.hear() == answer


def test_later(fresh, silent):
    """A batch is carried out one after the other, while others are served."""
    with Client(fresh) as client:
        client.say([silent.add('a'), X, silent.add('b', 2)], X)
        connection = silent.await_connection()
        assert fresh.ask('x') == NO_X
        assert [row['name'] for row in fresh.do('devices.list')['devices']] == ['a']
        connection.close()
        fresh.do('devices.remove', 'a')
        rig.eventually(lambda: fresh.do('devices.list')['devices'])
        assert client.is_silent()
        silent.close()
        assert client.hear() == [result({}), NO_X, result({}, 2)]
        assert client.hear() == NO_X


def test_abandoned(fresh, silent):
    """What nobody waits for any more ends where it is."""
    with Client(fresh) as client:
        client.say([silent.add('a'), silent.add('b')])
        connection = silent.await_connection()
    fresh.ask('x')  # by then the daemon has seen that the client has gone
    connection.close()
    silent.close()
    fresh.do('devices.remove', 'a')
    assert fresh.do('devices.list') == {'devices': []}


# ---- the methods ----

def test_status(daemon):
    status = daemon.do('status')
    assert list(status) == ['version', 'pid', 'uptime_ms', 'state', 'directory', 'vmm_socket',
                            'log_level', 'connections', 'pollers', 'devices']
    assert (status['pid'], status['directory'], status['vmm_socket'], status['pollers']) == \
        (daemon.pid, daemon.directory, daemon.vmm_socket, 1)
    assert (status['state'], status['log_level'], status['connections']) == ('running', 'notice', 0)
    assert status['devices'] == {'away': 0, 'free': 0, 'attached': 0, 'cleaning': 0,
                                 'not-answering': 0, 'stale': 0, 'fenced': 0, 'restoring': 0}


def test_lists(refdev, fresh, vmm):
    server = refdev()
    fresh.do('devices.add', 'disk0', server.socket)
    client = vmm(fresh, 'disk0')
    fresh.do('devices.add', 'net0', '/no/such')
    disk, net = fresh.do('devices.list')['devices']
    seen = disk['vmm']
    assert list(disk) == ['name', 'socket', 'poller', 'state', 'since_ms', 'reason', 'generation',
                          'export', 'vmm']
    assert (disk['name'], disk['socket'], disk['poller'], disk['state'], disk['reason'],
            disk['generation']) == ('disk0', server.socket, 'io0', 'attached', None, 1)
    assert {key: seen[key] for key in ('pid', 'uid', 'name', 'queues', 'dma_maps')} == {
        'pid': client.pid, 'uid': os.getuid(), 'name': 'a test', 'queues': 0, 'dma_maps': 0}
    assert (seen['plane'], disk['export']) == ('shared-memory', None)
    assert (net['state'], net['generation'], net['vmm']) == ('away', 0, None)
    assert net['reason'].endswith(': No such file or directory')
    vmms, = fresh.do('vmms.list')['vmms']
    assert vmms | {'attached_ms': 0} == {'device': 'disk0', 'attached_ms': 0} | {
        key: seen[key] for key in seen if key != 'attached_ms'}
    counts = fresh.do('status')
    assert (counts['connections'], counts['devices']['attached'], counts['devices']['away']) == \
        (1, 1, 1)
    client.detach()
    fresh.await_state('disk0', 'free')


def test_stats(refdev, fresh, vmm):
    fresh.do('devices.add', 'disk0', refdev().socket)
    fresh.do('devices.add', 'net0', '/no/such')
    client = vmm(fresh, 'disk0')
    assert client.do('queue') == '0 ' and client.do('read') == '0 '
    stats = fresh.do('stats.get')
    assert list(stats) == ['time_ms', 'devices', 'pollers']
    disk, net = stats['devices']
    assert list(disk) == ['name', 'state', 'generation', 'queues', 'dma_maps', 'reads', 'writes',
                          'posted', 'errors', 'timeouts', 'attaches', 'outages', 'outage_ms',
                          'outage_last_ms', 'held_reads', 'dropped_writes', 'read_bytes',
                          'written_bytes', 'latency']
    assert (disk['name'], disk['state'], disk['queues'], disk['reads'], disk['attaches']) == \
        ('disk0', 'attached', 1, 1, 1)
    assert (disk['read_bytes'], disk['written_bytes'], disk['latency']) == (4, 0, None)
    assert (net['name'], net['state'], net['reads']) == ('net0', 'away', 0)
    poller, = stats['pollers']
    assert list(poller) == [
        'name', 'cpu', 'idle', 'transport', 'placement', 'devices', 'queues', 'loops_busy',
        'loops_empty', 'sleeps', 'calls', 'reads', 'writes', 'posted', 'read_bytes',
        'written_bytes', 'retries', 'errors', 'timeouts', 'broken_queues', 'held_reads',
        'dropped_writes', 'bursts', 'burst_sizes']
    assert (poller['name'], poller['cpu'], poller['idle'], poller['queues'], poller['reads'],
            poller['burst_sizes']) == ('io0', None, 'sleep', 1, 1, [1, 0, 0, 0, 0, 0])
    assert poller['transport'] in ('uring', 'posix') and poller['read_bytes'] > 0
    client.detach()
    fresh.await_state('disk0', 'free')
    one = fresh.do('stats.get', device='net0')
    assert ([row['name'] for row in one['devices']], one['pollers']) == (['net0'], [])
    one = fresh.do('stats.get', poller='io0')
    assert (one['devices'], [row['name'] for row in one['pollers']]) == ([], ['io0'])


def test_latency(refdev, vucd, vmm):
    """What is measured is in the histogram, of which a poller without latency has none."""
    server, other = refdev(), refdev()
    daemon = vucd(f'[poller io1]\ncpu = none\nidle = sleep\nlatency = on\n'
                  f'[device d0]\nsocket = {server.socket}\npoller = io1\n'
                  f'[device d1]\nsocket = {other.socket}\npoller = io0\n')
    assert daemon.do('stats.get', 'd0')['devices'][0]['latency']['counts'] == [0] * 23
    client = vmm(daemon, 'd0')
    assert client.do('queue') == '0 '
    for _ in range(5):
        assert client.do('read') == '0 '
    latency = daemon.do('stats.get', 'd0')['devices'][0]['latency']
    assert sum(latency['counts']) == 5 and latency['sum_us'] > 0
    assert latency['bounds_ns'] == [step * 10 ** power for power in range(8)
                                    for step in (1000, 2500, 5000)][:22]
    assert daemon.do('stats.get', 'd1')['devices'][0]['latency'] is None
    client.detach()
    assert daemon.stop() == 0


def test_add(fresh):
    """Each param is the key of the configuration: nothing has changed for a reload of a file that has
    it, and all of a file that has another value."""
    rows = [
        ('socket', '/no/socket', '/no/other'), ('poller', 'io0', 'auto'), ('dma', 'message', 'shared'),
        ('posted_writes', 'off', 'on'), ('io_fds', False, 'on'), ('max_dma_maps', 6, 7),
        ('timeout_ms', 7, 8), ('long_timeout_ms', 8, 9), ('retry_min_ms', 9, 10),
        ('retry_max_ms', 101, 102), ('users', ['root', '5'], '0'), ('groups', ['0'], '0,1'),
        ('reset', 'trust', 'never'), ('outage', 'hold', 'fail'), ('hold_ms', 5, 6),
        ('after_hold', 'last', 'ones'), ('fence', False, 'on'), ('release_ms', 7, 8),
        ('map', 'none', 'direct'), ('keep_bar0', True, 'off'), ('recover', 'none', 'nvme'),
        ('export', f'{fresh.directory}/export', 'none'), ('export_mode', '0660', '0600'),
        ('export_group', '0', 'none'), ('reply_ms', 9, 10)]

    def configure(column):
        config = ''
        for row in rows:
            key, value = row[0], row[column]
            text = ','.join(value) if isinstance(value, list) else {False: 'off', True: 'on'}.get(value, value)
            socket_ = '' if key == 'socket' else f'socket = /no/{key}\n'
            config += f'[device {key}]\n{socket_}{key.replace("_", "-")} = {text}\n'
        fresh.configure(f'{config}[device position]\nsocket = /no/position\nposted-writes = off\n'
                        'max-dma-maps = 65535\ntimeout-ms = 1\nlong-timeout-ms = 2\n'
                        'retry-min-ms = 3\nretry-max-ms = 4\nreset = never\noutage = hold\n'
                        'hold-ms = 5\nafter-hold = error\nfence = off\nrelease-ms = 6\nmap = none\n'
                        'keep-bar0 = off\nrecover = none\nexport = none\nexport-mode = 0600\nexport-group = none\n'
                        'reply-ms = 7\n')
    for key, value, _ in rows:
        fresh.do('devices.add', **{'name': key, 'socket': f'/no/{key}'} | {key: value})
    fresh.do('devices.add', 'position', '/no/position', 'auto', 'shared', 'off', True, 65535, 1, 2,
             3, 4, [], [], 'never', 'hold', 5, 'error', False, 6, 'none', False,
             'none', 'none', '0600', 'none', 7)
    configure(1)
    assert not any(fresh.do('reload').values())
    configure(2)
    reloaded = fresh.do('reload')
    assert sorted(reloaded['changed']) == sorted(key for key, *_ in rows)
    assert not reloaded['failed']


def test_socket_of_another(fresh):
    """A path is repeated as it came."""
    fresh.do('devices.add', 'a', '/no/é')
    assert fresh.ask('devices.add', 'b', '/no/é') == error(
        FAILED, 'socket /no/é is already used by device a, as socket', errno='EADDRINUSE')


def test_log_level(fresh):
    assert fresh.do('log.set_level', 'debug') == {'level': 'debug', 'before': 'notice'}
    assert fresh.do('status')['log_level'] == 'debug'
    who = f'management (user {os.getuid()}, pid {os.getpid()}): '
    assert f'notice  {who}log level debug\n' in fresh.err.decode()
    assert fresh.do('log.set_level', 'error') == {'level': 'error', 'before': 'debug'}


# ---- clients ----

def test_pieces(client):
    """Lines come in pieces, and several at once."""
    for byte in json.dumps(X).encode() + b'\n':
        client.sendall(bytes([byte]))
    client.say(X, X)
    assert [client.hear() for _ in range(3)] == [NO_X] * 3


def test_half_a_line(client, daemon):
    """It holds up nobody else."""
    line = json.dumps(X).encode() + b'\n'
    client.sendall(line[:10])
    assert daemon.ask('x') == NO_X and client.is_silent()
    client.sendall(line[10:])
    assert client.hear() == NO_X


def test_long_line(client):
    line = json.dumps(X).encode().ljust(65536)
    client.sendall(line + b'\n')
    assert client.hear() == NO_X
    client.sendall(line + b' \n')
    assert client.hear() == error(REQUEST, 'a line of more than 65536 bytes', None)
    assert client.is_over()


def test_flood(fresh):
    """One that sends lines and no end of them has its turn like others."""
    with Client(fresh) as client, Client(fresh) as other:
        for each in (client, other):
            each.say(X)
            assert each.hear() == NO_X
        os.kill(fresh.pid, signal.SIGSTOP)
        client.say(*[call('devices.remove', f'a{i}') for i in range(100)])
        other.say(call('devices.remove', 'b'))
        os.kill(fresh.pid, signal.SIGCONT)
        for _ in range(100):
            client.hear()
        other.hear()
    fresh.drain()
    assert -1 < fresh.err.index(b'remove device b') < fresh.err.index(b'remove device a99')


def test_no_reader(fresh):
    """One that does not read gets its answers when it does; others do not wait for it."""
    with Client(fresh) as client:
        said = 0
        line = json.dumps(call('stats.get')).encode() + b'\n'
        client.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while True:  # until neither takes more
                fresh.ask('x')
                assert client.send(line) == len(line)
                said += 1
        assert said > 100
        client.settimeout(rig.TIMEOUT_S)
        client.lines = client.makefile('rb')
        assert fresh.ask('x') == NO_X
        assert all('result' in client.hear() for _ in range(said))


def test_half_closed(fresh, silent):
    """As of echo | nc: the answer comes although nothing more will be asked."""
    with Client(fresh) as client:
        client.say(silent.add('a'))
        client.shutdown(socket.SHUT_WR)
        connection = silent.await_connection()
        assert fresh.ask('x') == NO_X and client.is_silent()
        connection.close()
        silent.close()
        assert client.hear() == result({})
        assert client.is_over()


def test_end_with_request(vucd, silent):
    """A daemon that ends waits for nobody."""
    daemon = vucd()
    with Client(daemon) as client:
        client.say(silent.add('a'))
        with silent.await_connection():
            assert daemon.stop() == 0
        assert client.is_over()


def test_crowd(fresh):
    """The newest are served, and those that have been quiet for longest are not any more."""
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(Client(fresh)) for _ in range(200)]
        for client in clients[-64:]:
            client.say(X)
        assert all(client.hear() == NO_X for client in clients[-64:])
        assert all(client.is_over() for client in clients[:-64])


def test_all_busy(fresh, silent):
    """When all wait for answers, nobody has to go; the next one waits."""
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(Client(fresh)) for _ in range(64)]
        for i, client in enumerate(clients):
            client.say(silent.add(f'd{i}'))
        connections = [silent.await_connection() for _ in clients]
        more = stack.enter_context(Client(fresh))
        more.say(X)
        os.kill(fresh.pid, signal.SIGHUP)
        fresh.await_output('reload: done', 'err')
        assert more.is_silent()
        connections.pop().close()
        assert more.hear() == NO_X
        silent.close()
        for connection in connections:
            connection.close()
        assert all(client.hear() == result({}) for client in clients)


def other_user(daemon, *groups):
    """A client that connects as user 65534, in these groups and in no other one."""
    before = os.getgroups()
    os.setgroups(groups)
    os.setegid(65534)
    os.seteuid(65534)
    try:
        return Client(daemon)
    finally:
        os.seteuid(0)
        os.setegid(0)
        os.setgroups(before)


@pytest.mark.skipif(os.geteuid() != 0, reason='only root can become another user')
def test_other_user(fresh):
    for path, mode in ((fresh.folder.name, 0o711), (fresh.directory, 0o711),
                       (fresh.management, 0o666)):
        os.chmod(path, mode)
    with other_user(fresh, 65534) as client:
        why = "user 65534 is neither root nor the daemon's user (0)"
        assert client.hear() == error(FAILED, why, None, errno='EACCES')
        assert client.is_over()
        fresh.ask('x')
        assert f'management: connection of process {os.getpid()} refused: {why}\n' in fresh.err.decode()


MONITORS = 64321  # a group that has no name


@pytest.fixture(name='monitored')
def fixture_monitored(vucd):
    daemon = vucd(f'monitor-group = {MONITORS}\ndirectory-mode = 0711\n')
    os.chmod(daemon.folder.name, 0o711)
    yield daemon
    assert daemon.stop() == 0


@pytest.mark.skipif(os.geteuid() != 0, reason='only root can become another user')
@pytest.mark.parametrize('method,params', [
    ('devices.add', {'name': 'a', 'socket': '/s'}), ('devices.remove', {'name': 'd0'}),
    ('devices.remove', {'no': 'such'}), ('vmms.list', {}), ('vmms.detach', {'device': 'd0'}),
    ('reload', {}), ('log.set_level', {'level': 'debug'})])
def test_monitor_refused(monitored, method, params):
    """A monitor may call nothing else: neither alone nor in a batch nor without an answer."""
    monitored.do('devices.add', 'd0', '/no/such')
    before = monitored.do('devices.list')
    refused = error(FAILED, f'members of group {MONITORS} may not call {method}, only: status, '
                    'devices.list, stats.get', errno='EACCES')
    with other_user(monitored, MONITORS) as client:
        request = call(method, **params)
        client.say(request, [X, request], {key: request[key] for key in request if key != 'id'}, X)
        assert client.hear() == refused
        assert client.hear() == [NO_X, refused]
        assert client.hear() == NO_X
    after = monitored.do('devices.list')
    assert [device['name'] for device in after['devices']] == \
        [device['name'] for device in before['devices']] == ['d0']
    assert monitored.do('status')['log_level'] == 'notice'


@pytest.mark.skipif(os.geteuid() != 0, reason='only root can become another user')
def test_monitor(monitored):
    """It gets what root gets, whichever of its groups it is, and others still get nothing."""
    monitored.do('devices.add', 'd0', '/no/such')
    with other_user(monitored, 65534, MONITORS) as client:
        for method in ('status', 'devices.list', 'stats.get'):
            client.say(call(method))
            assert client.hear()['result'].keys() == monitored.do(method).keys()
    status = os.stat(monitored.management)
    assert (status.st_mode & 0o777, status.st_gid) == (0o660, MONITORS)
    os.chmod(monitored.management, 0o666)
    with other_user(monitored, 65533) as client:
        assert client.hear() == error(
            FAILED, f"user 65534 is neither root nor the daemon's user (0), and not in group {MONITORS}",
            None, errno='EACCES')
        assert client.is_over()


@pytest.mark.skipif(os.geteuid() != 0, reason='only root can become another user')
def test_many_monitors(monitored):
    """They are in each other's way only."""
    with contextlib.ExitStack() as stack:
        operators = [stack.enter_context(Client(monitored)) for _ in range(64)]
        for client in operators:
            client.say(X)
        assert all(client.hear() == NO_X for client in operators)
        monitors = [stack.enter_context(other_user(monitored, MONITORS)) for _ in range(20)]
        for client in monitors[4:]:
            client.say(X)
        assert all(client.is_over() for client in monitors[:4])
        assert all(client.hear() == NO_X for client in monitors[4:])
        for client in operators:
            client.say(X)
        assert all(client.hear() == NO_X for client in operators)


def test_no_descriptors(fresh):
    """Without descriptors for one more, it is told so."""
    rig.eventually(fresh.is_quiet)
    used = {int(fd) for fd in os.listdir(f'/proc/{fresh.pid}/fd')}
    limit = min(set(range(len(used) + 1)) - used)
    before = resource.prlimit(fresh.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(fresh.pid, resource.RLIMIT_NOFILE, (limit, before[1]))
    with Client(fresh) as client:
        assert client.hear() == error(
            FAILED, 'the daemon is out of file descriptors', None, errno='EMFILE')
        assert client.is_over()
    resource.prlimit(fresh.pid, resource.RLIMIT_NOFILE, before)
    assert fresh.ask('x') == NO_X
