# SPDX-License-Identifier: BSD-3-Clause
"""What vucd needs to start: the folder of its sockets, and what it tells the service manager."""

import os
import socket
import stat

import pytest

import rig


def run(folder, directory=None, more='', env=None, checked=True):
    """Start a daemon that cannot, in a clean environment, and check its configuration, where
    `checked` says that --check finds it, too. Returns what the daemon says last."""
    path = f'{folder}/vucd.conf'
    with open(path, 'w', encoding='utf-8') as file:
        file.write('[poller a]\ncpu = none\nidle = sleep\n[vucd]\ntelemetry = off\n'
                   + (f'directory = {directory}\n' if directory else '') + more)
    env = {'RUNTIME_DIRECTORY': '', 'XDG_RUNTIME_DIR': ''} | (env or {})
    ended = rig.Run(os.environ['VUCD'], '--config', path, env=env)
    assert ended.status == 1
    check = rig.Run(os.environ['VUCD'], '--check', '--config', path, env=env)
    assert check.status == (1 if checked else 0)
    assert ('[vucd] directory = ' in check.err) == checked
    return ended.err.splitlines()[-1]


def make_file(path):
    with open(path, 'w', encoding='utf-8'):
        pass


@pytest.mark.parametrize('make,name,text', [
    (make_file, 'd', '/d: cannot be opened: Not a directory'),
    (lambda path: os.symlink('/tmp', path), 'd', '/d: cannot be opened: Not a directory'),
    (None, 'no/d', '/no/d: cannot be created: No such file or directory'),
    (lambda path: os.mkdir(path) or make_file(f'{path}/vmm.sock'), 'd', '/d/vmm.sock: '),
    (lambda path: os.mkdir(path) or make_file(f'{path}/management.sock'), 'd',
     '/d/management.sock: ')])
def test_directory(folder, make, name, text):
    if make:
        make(f'{folder}/{name}')
    assert f' error   {folder}{text}' in run(folder, f'{folder}/{name}',
                                                checked='.sock' not in text)
    assert not make or os.path.lexists(f'{folder}/{name}')


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make another user's directory")
def test_directory_of_another_user(folder):
    os.mkdir(f'{folder}/d')
    os.chown(f'{folder}/d', 65534, -1)
    assert f'{folder}/d: belongs to another user' in run(folder, f'{folder}/d')


@pytest.mark.skipif(os.geteuid() == 0, reason='root has /run/vucd')
def test_no_directory(folder):
    assert 'no directory for the sockets: set directory in [vucd] or $XDG_RUNTIME_DIR' in run(folder)


def test_long_directory(folder):
    assert 'path is too long for the sockets in it' in \
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


@pytest.mark.parametrize('own', [False, True])
def test_directory_that_is_there(vucd, folder, own):
    """It is left as it is, unless systemd has made it for the service."""
    os.mkdir(f'{folder}/d', 0o700)
    os.chmod(f'{folder}/d', 0o755)
    daemon = vucd(f'directory = {"auto" if own else f"{folder}/d"}\ndirectory-mode = 0750\n',
                  env={'RUNTIME_DIRECTORY': f'{folder}/d'})
    assert stat.S_IMODE(os.stat(f'{folder}/d').st_mode) == (0o750 if own else 0o755)
    assert daemon.stop() == 0
    assert 'vmm.sock' not in os.listdir(f'{folder}/d')


@pytest.mark.parametrize('mode,allowed', [
    (0o1777, '0700'), (0o1777, '0777'), (0o770, '0700'), (0o702, '0770')])
def test_directory_of_many(folder, mode, allowed):
    os.mkdir(f'{folder}/d')
    os.chmod(f'{folder}/d', mode)
    assert (f'{folder}/d: mode {mode:04o} lets other users write to it; set directory to a '
            f'path that does not exist, which vucd creates, or to a directory of mode {allowed}') in \
        run(folder, f'{folder}/d', f'directory-mode = {allowed}\n')
    assert stat.S_IMODE(os.stat(f'{folder}/d').st_mode) == mode


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
    told = b'warning cannot notify the service manager: '
    assert told + text.encode() in daemon.err if text else told not in daemon.err
