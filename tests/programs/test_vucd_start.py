# SPDX-License-Identifier: BSD-3-Clause
"""What vucd needs to start: the folder of its sockets, and what it tells the service manager."""

import os
import socket
import stat

import pytest

import rig


def run(folder, directory=None, more='', env=None):
    """Start a daemon that cannot, in a clean environment. Returns what it says last."""
    path = f'{folder}/vucd.conf'
    with open(path, 'w', encoding='utf-8') as file:
        file.write('[poller a]\ncpu = none\nidle = sleep\n[vucd]\ntelemetry = off\n'
                   + (f'directory = {directory}\n' if directory else '') + more)
    ended = rig.Run(os.environ['VUCD'], '--config', path,
                    env={'RUNTIME_DIRECTORY': '', 'XDG_RUNTIME_DIR': ''} | (env or {}))
    assert ended.status == 1
    return ended.err.splitlines()[-1]


def make_file(path):
    with open(path, 'w', encoding='utf-8'):
        pass


@pytest.mark.parametrize('make,name,text', [
    (make_file, 'd', '/d: cannot be opened: Not a directory'),
    (lambda path: os.symlink('/tmp', path), 'd', '/d: cannot be opened: Not a directory'),
    (None, 'no/d', '/no/d: cannot be made: No such file or directory'),
    (lambda path: os.mkdir(path) or make_file(f'{path}/vmm.sock'), 'd', '/d/vmm.sock: '),
    (lambda path: os.mkdir(path) or make_file(f'{path}/management.sock'), 'd',
     '/d/management.sock: ')])
def test_directory(folder, make, name, text):
    if make:
        make(f'{folder}/{name}')
    assert f' error   {folder}{text}' in run(folder, f'{folder}/{name}')
    assert not make or os.path.lexists(f'{folder}/{name}')


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make another user's directory")
def test_directory_of_another_user(folder):
    os.mkdir(f'{folder}/d')
    os.chown(f'{folder}/d', 65534, -1)
    assert f'{folder}/d: belongs to another user' in run(folder, f'{folder}/d')


def test_long_directory(folder):
    assert 'too long for the sockets in it' in \
        run(folder, env={'RUNTIME_DIRECTORY': '/' * 92})


@pytest.mark.parametrize('env,name', [
    ({}, 'vucd'), ({'RUNTIME_DIRECTORY': '@/first:@/second'}, 'first')])
def test_default_directory(vucd, folder, env, name):
    """It is made and removed."""
    daemon = vucd('directory = auto\n', env={
        'RUNTIME_DIRECTORY': '', 'XDG_RUNTIME_DIR': folder} | {
            key: value.replace('@', folder) for key, value in env.items()})
    assert stat.S_IMODE(os.stat(f'{folder}/{name}').st_mode) == 0o700
    assert {'management.sock', 'vmm.sock'} <= set(os.listdir(f'{folder}/{name}'))
    assert daemon.stop() == 0
    assert not os.path.exists(f'{folder}/{name}/vmm.sock')


def test_directory_that_is_there(vucd, folder):
    """It is taken, given the mode, and left."""
    os.mkdir(f'{folder}/d', 0o777)
    daemon = vucd(f'directory = {folder}/d\ndirectory-mode = 0750\n')
    assert stat.S_IMODE(os.stat(f'{folder}/d').st_mode) == 0o750
    assert daemon.stop() == 0
    assert os.listdir(f'{folder}/d') == []


# ---- the service manager ----

def test_notify_abstract(vucd):
    """Its socket may have an abstract name."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.settimeout(rig.TIMEOUT_S)
        manager.bind(f'\0vucd-test-{os.getpid()}')
        daemon = vucd(env={'NOTIFY_SOCKET': f'@vucd-test-{os.getpid()}'}, ready=False)
        assert manager.recv(4096) == b'READY=1\nSTATUS=pollers: 1, devices: 0'
        assert daemon.stop() == 0
        assert manager.recv(4096) == b'STOPPING=1'


@pytest.mark.parametrize('name,text', [
    ('', None), ('relative', 'Invalid argument'), ('/' * 199, 'File name too long'),
    ('/no/such', 'No such file or directory')])
def test_notify_fails(vucd, name, text):
    """A daemon whose service manager cannot be told is ready nevertheless."""
    daemon = vucd(env={'NOTIFY_SOCKET': name}, ready=False)
    daemon.await_output('notice  ready, pollers: 1, devices: 0, VMMs at ', 'err')
    assert daemon.stop() == 0
    told = b'warning the service manager cannot be told: '
    assert told + text.encode() in daemon.err if text else told not in daemon.err
