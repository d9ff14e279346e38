# SPDX-License-Identifier: BSD-3-Clause
"""keep-bar0: a server that opens bar0 beside its socket and unlinks it, as SPDK's target does,
finds the same file each time, and vucd touches nothing else in that folder."""

import os
import shutil
import stat

import pytest
import rig

KEPT = '.bar0-d0'
NEVER = 'retry-min-ms = 3600000\nretry-max-ms = 3600000\n'  # no second attempt to connect
OFTEN = 'retry-min-ms = 1\nretry-max-ms = 20\n'


@pytest.fixture(name='there')
def fixture_there(folder):
    """A folder of a server."""
    path = f'{folder}/server'
    os.mkdir(path, 0o755)
    return path


@pytest.fixture(name='vucd')
def fixture_vucd(there):  # pylint: disable=unused-argument
    """Daemons that end before the folder is removed, in which they place links again."""
    yield from rig.starter(rig.Vucd)


def config(there, more=''):
    return f'[device d0]\nsocket = {there}/s\nkeep-bar0 = on\n{more}'


def identity(path):
    found = os.lstat(path)
    return found.st_dev, found.st_ino


def is_placed(there):
    return (os.path.lexists(f'{there}/bar0') and
            identity(f'{there}/bar0') == identity(f'{there}/{KEPT}'))


def await_link(there):
    rig.eventually(lambda: os.path.lexists(f'{there}/{KEPT}') and is_placed(there))


def play_target(there):
    """What SPDK's target does before it listens. Returns the descriptor."""
    fd = os.open(f'{there}/bar0', os.O_RDWR | os.O_CREAT, 0o600)
    os.unlink(f'{there}/bar0')
    os.ftruncate(fd, 0x2000)
    return fd


def reason(daemon):
    return daemon.do('devices.list')['devices'][0]['reason'] or ''


def test_same_file(vucd, there):
    """Each target gets the same file, with what it had; the links go with the daemon."""
    daemon = vucd(config(there, NEVER))
    await_link(there)
    kept = identity(f'{there}/{KEPT}')
    for turn in range(20):
        fd = play_target(there)
        assert (os.fstat(fd).st_dev, os.fstat(fd).st_ino) == kept
        assert os.pread(fd, 8, 0x1000) == turn.to_bytes(8, 'little')
        os.pwrite(fd, (turn + 1).to_bytes(8, 'little'), 0x1000)
        os.close(fd)
        await_link(there)
    assert os.stat(f'{there}/bar0').st_mode & 0o7777 == 0o600
    assert daemon.stop() == 0
    assert os.listdir(there) == []


def test_server_that_is_restarted(vucd, vmm, refdev, there):
    """The link is there while the server is, too. The file is cleared for the next VMM only."""
    server = refdev(at=f'{there}/s')
    daemon = vucd(config(there, OFTEN))
    daemon.await_state('d0', 'free')
    fd = play_target(there)
    os.pwrite(fd, b'doorbell', 0x1000)
    await_link(there)
    client = vmm(daemon, 'd0')
    server.stop(rig.signal.SIGKILL)
    os.close(play_target(there))
    server = refdev(at=f'{there}/s')
    assert client.do('back') == '0 '
    await_link(there)
    assert os.pread(fd, 8, 0x1000) == b'doorbell'
    client.detach()
    daemon.await_state('d0', 'free')
    assert os.pread(fd, 0x2000, 0) == bytes(0x2000)
    os.close(fd)
    daemon.do('devices.remove', 'd0')
    assert os.listdir(there) == ['s']
    assert server.stop() == 0


def count_watches(pid):
    lines = []
    for fd in os.listdir(f'/proc/{pid}/fdinfo'):
        with open(f'/proc/{pid}/fdinfo/{fd}', encoding='ascii') as info:
            lines += info.readlines()
    return sum(line.startswith('inotify wd:') for line in lines)


def test_files_that_are_renamed(vucd, there):
    """The owner of the folder takes the files away again and again: one is watched, and its
    folder."""
    daemon = vucd(config(there, OFTEN))
    for turn in range(20):
        await_link(there)
        for name in (KEPT, 'bar0'):
            os.rename(f'{there}/{name}', f'{there}/{name}{turn}')
    await_link(there)
    rig.eventually(lambda: count_watches(daemon.pid) <= 2)


def test_daemon_that_is_killed(vucd, there):
    """The next daemon goes on with the file, whether its link was unlinked meanwhile or not."""
    daemon = vucd(config(there))
    await_link(there)
    kept = identity(f'{there}/{KEPT}')
    for unlinked in (False, True):
        daemon.stop(rig.signal.SIGKILL)
        if unlinked:
            os.close(play_target(there))
        daemon.kill_and_run()
        await_link(there)
        assert identity(f'{there}/bar0') == kept


def make_file(path):
    with open(path, 'wb') as file:
        file.write(b'precious')


def make_link(path):
    make_file(f'{path}-of-somebody')
    os.symlink(f'{path}-of-somebody', path)


def make_hard_link(path):
    make_file(f'{path}-of-somebody')
    os.link(f'{path}-of-somebody', path)


def look(there):
    """All that can be seen of a folder."""
    seen = {}
    for name in sorted(os.listdir(there)):
        path = f'{there}/{name}'
        found = os.lstat(path)
        data = b''
        if stat.S_ISREG(found.st_mode):
            with open(path, 'rb') as file:
                data = file.read()
        seen[name] = (found.st_ino, found.st_mode, found.st_uid, found.st_gid, data)
    return seen


def remove(path):
    if os.path.isdir(path) and not os.path.islink(path):
        os.rmdir(path)
    else:
        os.unlink(path)


NOT_OURS = 'bar0: exists and was not placed by vucd'


@pytest.mark.parametrize('name, make, text', [
    ('bar0', os.mkdir, NOT_OURS), ('bar0', os.mkfifo, NOT_OURS), ('bar0', make_link, NOT_OURS),
    ('bar0', make_file, NOT_OURS), ('bar0', make_hard_link, NOT_OURS),
    ('bar0', lambda path: os.symlink('nowhere', path), NOT_OURS),
    (KEPT, os.mkdir, f'{KEPT}: cannot be created or opened: Is a directory'),
    (KEPT, os.mkfifo, f'{KEPT}: is not a regular file'),
    (KEPT, make_link, f'{KEPT}: cannot be created or opened: Too many levels of symbolic links'),
    (KEPT, lambda path: os.symlink('nowhere', path), f'{KEPT}: cannot be created or opened: Too'),
    (KEPT, make_hard_link, f'{KEPT}: has other links'),
    (KEPT, make_file, f'{KEPT}: has the mode of another file'),
], ids=lambda value: getattr(value, '__name__', value)[:24])
def test_obstacle(vucd, refdev, there, name, make, text):
    """Whatever is in the way is named, and left alone; without it the device is connected to."""
    server = refdev(at=f'{there}/s')
    make(f'{there}/{name}')
    before = look(there)
    daemon = vucd(config(there, OFTEN))
    rig.eventually(lambda: text in reason(daemon))
    assert reason(daemon).startswith(f'keep-bar0: {there}/')
    daemon.await_state('d0', 'away')
    after = look(there)
    after.pop(KEPT if name == 'bar0' else '', None)
    assert after == before
    remove(f'{there}/{name}')
    daemon.await_state('d0', 'free')
    assert is_placed(there)
    assert daemon.stop() == 0
    assert look(there) == {key: value for key, value in before.items() if key != name}
    assert server.stop() == 0


def test_obstacle_that_stays(vucd, there):
    make_file(f'{there}/bar0')
    daemon = vucd(config(there))
    rig.eventually(lambda: NOT_OURS in reason(daemon))
    assert sorted(os.listdir(there)) == [KEPT, 'bar0']
    assert daemon.stop() == 0
    assert os.listdir(there) == ['bar0']


def test_something_takes_its_place(vucd, refdev, there):
    """What was placed by somebody else meanwhile is not removed; a connection goes on."""
    server = refdev(at=f'{there}/s')
    daemon = vucd(config(there))
    daemon.await_state('d0', 'free')
    await_link(there)
    make_file(f'{there}/new')
    os.rename(f'{there}/new', f'{there}/bar0')
    daemon.await_output(NOT_OURS, where='err')
    assert daemon.do('devices.list')['devices'][0]['state'] == 'free'
    assert daemon.stop() == 0
    assert sorted(os.listdir(there)) == ['bar0', 's']
    with open(f'{there}/bar0', 'rb') as file:
        assert file.read() == b'precious'
    assert server.stop() == 0


def test_folders_that_cannot_be_used(vucd, there):
    os.symlink(there, f'{there}-link')
    os.mkdir(f'{there}-open')
    os.chmod(f'{there}-open', 0o1777)
    rows = [(f'{there}-link', 'is not a folder, or is a symbolic link'),
            (f'{there}-open', 'its mode lets all users place files in it'),
            (f'{there}-none', 'cannot be opened: No such file or directory'),
            ('/sys', f'/{KEPT[:-1]}2: cannot be created or opened: ')]
    daemon = vucd()
    for i, (path, text) in enumerate(rows):
        daemon.do('devices.add', name='d2' if path == '/sys' else f'x{i}', socket=f'{path}/s',
                  keep_bar0=True)
    for row, (path, text) in zip(daemon.do('devices.list')['devices'], rows):
        assert row['state'] == 'away'
        assert row['reason'].startswith(f'keep-bar0: {path}/') and text in row['reason']
    assert os.listdir(there) == os.listdir(f'{there}-open') == []


def test_folder_that_is_made_anew(vucd, there):
    daemon = vucd(config(there, OFTEN))
    await_link(there)
    # At once, for what is removed from it is placed again.
    os.rename(there, f'{there}-gone')
    shutil.rmtree(f'{there}-gone')
    rig.eventually(lambda: 'cannot be opened' in reason(daemon))
    os.mkdir(there)
    await_link(there)
    assert daemon.stop() == 0
    assert os.listdir(there) == []


@pytest.mark.skipif(os.geteuid() != 0, reason='only root can give files away')
@pytest.mark.parametrize('mode, file_mode, gid', [(0o755, 0o600, 0), (0o770, 0o660, 12)])
def test_folder_of_another_user(vucd, there, mode, file_mode, gid):
    """Whoever can place files in the folder can open the file."""
    os.chown(there, 11, 12)
    os.chmod(there, mode)
    daemon = vucd(config(there))
    await_link(there)
    found = os.stat(f'{there}/bar0')
    assert (found.st_uid, found.st_gid, found.st_mode & 0o7777) == (11, gid, file_mode)
    daemon.stop(rig.signal.SIGKILL)
    daemon.kill_and_run()
    rig.eventually(lambda: 'keep-bar0' not in reason(daemon) and reason(daemon) != 'not connected yet')
    assert identity(f'{there}/bar0') == (found.st_dev, found.st_ino)


@pytest.mark.skipif(os.geteuid() != 0, reason='only root can give files away')
def test_file_of_another_user(vucd, there):
    """A file that is nobody's who may place files here is not shown to the server."""
    make_file(f'{there}/{KEPT}')
    os.chmod(f'{there}/{KEPT}', 0o600)
    os.chown(f'{there}/{KEPT}', 11, 12)
    daemon = vucd(config(there))
    rig.eventually(lambda: 'does not belong to the owner of the folder' in reason(daemon))
    assert os.listdir(there) == [KEPT]


def test_one_device_of_a_folder(vucd, there):
    daemon = vucd(config(there))
    assert daemon.refuses('devices.add', name='d1', socket=f'{there}/other', keep_bar0=True) == 'EEXIST'
    daemon.do('devices.add', name='d1', socket=f'{there}/other')
    daemon.do('devices.remove', 'd0')
    daemon.do('devices.add', name='d2', socket=f'{there}/another', keep_bar0=True)
    rig.eventually(lambda: sorted(os.listdir(there)) == ['.bar0-d2', 'bar0'])


def test_off(vucd, refdev, there):
    server = refdev(at=f'{there}/s')
    daemon = vucd(config(there).replace('= on', '= off'))
    daemon.await_state('d0', 'free')
    assert os.listdir(there) == ['s']
    assert server.stop() == 0
