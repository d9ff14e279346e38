# SPDX-License-Identifier: BSD-3-Clause
"""Programs under test: started by path, waited for by event, and gone when the test is, however
that ends. The environment names them: VUCCTL, VUCD, VUC_REFDEV, VUC_BENCH."""

import contextlib
import ctypes
import fcntl
import json
import os
import pty
import select
import signal
import socket
import struct
import subprocess
import tempfile
import termios
import time

TIMEOUT_S = 60  # a program that has not done by then what it should hangs

LIBC = ctypes.CDLL(None, use_errno=True)
PR_SET_PDEATHSIG = 1


def prepare_child():
    """It dies with the test, and ignores no signal that the test was started to ignore, as by nohup."""
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)


class Hung(AssertionError):
    pass


def eventually(happens):
    """Ask again and again until it happens, and leave the CPU to those who are waited for."""
    deadline = time.monotonic() + TIMEOUT_S
    while not happens():
        if time.monotonic() > deadline:
            raise Hung(f'it has not happened in {TIMEOUT_S} s')
        time.sleep(0.002)


class Process:
    """A program that runs. Its output is read whenever the test waits for something.

    tty: its standard input, output and error are a terminal of so many (rows, columns)."""

    def __init__(self, *args, env=None, tty=None, stdin=subprocess.DEVNULL, **popen):
        self.out, self.err = b'', b''
        self.terminal = None
        self.sinks = {}  # descriptors that are read, and the name of what they fill
        with contextlib.ExitStack() as stack:
            if tty:
                self.terminal, slave = pty.openpty()
                stack.callback(os.close, slave)
                fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack('HHHH', *tty, 0, 0))
                popen |= {'stdout': slave, 'stderr': slave, 'start_new_session': True}
                stdin = slave
            self.process = subprocess.Popen(
                [str(arg) for arg in args], stdin=stdin, env=os.environ | (env or {}),
                preexec_fn=prepare_child,  # pylint: disable=subprocess-popen-preexec-fn
                **{'stdout': subprocess.PIPE, 'stderr': subprocess.PIPE} | popen)
        self.pid = self.process.pid
        self.pidfd = os.pidfd_open(self.pid)
        for name, pipe in (('out', self.process.stdout), ('err', self.process.stderr)):
            if pipe:
                self.sinks[pipe.fileno()] = name
        if tty:
            self.sinks[self.terminal] = 'out'
        for fd in self.sinks:
            os.set_blocking(fd, False)

    def _read(self, fd):
        try:
            data = os.read(fd, 1 << 16)
        except BlockingIOError:
            return
        except OSError:  # EIO: a terminal without a program
            data = b''
        if data:
            setattr(self, self.sinks[fd], getattr(self, self.sinks[fd]) + data)
        else:
            del self.sinks[fd]

    def drain(self):
        """Read what there is of output, so that the program does not wait for room."""
        for fd in list(self.sinks):
            self._read(fd)

    def await_event(self, happened, *fds):
        """Read output until happened() or the program's end, which counts when it has ended
        before. fds wake the wait as well. Returns whether it has happened."""
        deadline = time.monotonic() + TIMEOUT_S
        while not happened():
            ready = select.select([*self.sinks, self.pidfd, *fds], [], [],
                                  max(0, deadline - time.monotonic()))[0]
            if not ready:
                raise Hung(f'{self.process.args}: nothing happened in {TIMEOUT_S} s; '
                           f'stdout {self.out}, stderr {self.err}')
            for fd in self.sinks.keys() & ready:
                self._read(fd)
            if self.pidfd in ready and not self.sinks.keys() & ready:
                return happened()
        return True

    def await_output(self, text, where='out'):
        """Wait until the program has printed text to stdout or, where='err', to stderr."""
        assert self.await_event(lambda: text.encode() in getattr(self, where)), \
            f'ended with {self.process.wait()} without {text!r}: {self.out} {self.err}'

    def wait(self):
        """Wait for the end. Returns the exit status, negative for a signal."""
        self.await_event(lambda: False)
        self.drain()
        return self.process.wait()

    def stop(self, number=signal.SIGTERM):
        """End it by a signal, and wait likewise."""
        self.process.send_signal(number)
        return self.wait()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    @contextlib.contextmanager
    def closed_on_failure(self):
        try:
            yield
        except BaseException:
            self.close()
            raise

    def close(self):
        self.process.kill()
        self.process.wait()
        os.close(self.pidfd)
        for pipe in (self.process.stdout, self.process.stderr):
            if pipe:
                pipe.close()
        if self.terminal is not None:
            os.close(self.terminal)


class Refdev(Process):
    """A vuc-refdev that listens on .socket, in a folder of its own unless it is given one."""

    def __init__(self, *options, at=None):
        self.folder = tempfile.TemporaryDirectory(prefix='vuc-')
        self.socket = at or f'{self.folder.name}/s'
        ready, told = os.pipe()
        super().__init__(os.environ['VUC_REFDEV'], self.socket, f'--ready-fd={told}', *options,
                         pass_fds=[told])
        os.close(told)
        with self.closed_on_failure(), open(ready, 'rb') as pipe:
            self.await_event(lambda: select.select([pipe], [], [], 0)[0], pipe)
            assert pipe.read() == b'\n', self.err.decode()

    def close(self):
        super().close()
        self.folder.cleanup()


class Vucd(Process):
    """A vucd that is ready, in a folder of its own. It has a poller io0 that sleeps, on no CPU in
    particular, and no telemetry unless config says so, which goes behind that.

    ready: wait until it is. env: goes before what it has in its environment."""

    def __init__(self, config='', ready=True, env=None):
        self.env = env or {}
        self.folder = tempfile.TemporaryDirectory(prefix='vuc-')
        self.config = f'{self.folder.name}/vucd.conf'
        self.directory = f'{self.folder.name}/run'
        self.management = f'{self.directory}/management.sock'
        self.vmm_socket = f'{self.directory}/vmm.sock'
        self.notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.notify.bind(f'{self.folder.name}/notify')
        self.configure(config)
        self.run(ready)

    def run(self, ready=True):
        super().__init__(os.environ['VUCD'], '--config', self.config, env={
            'NOTIFY_SOCKET': f'{self.folder.name}/notify',
            'RUNTIME_DIRECTORY': self.folder.name,  # what EAL leaves behind goes with the folder
        } | self.env)
        with self.closed_on_failure():
            assert not ready or self.next_notification().startswith('READY=1\n')

    def kill_and_run(self):
        """Another daemon, where this one has died."""
        super().close()
        self.run()

    def configure(self, config):
        """Write the configuration again."""
        telemetry = '' if 'telemetry = ' in config else 'telemetry = off\n'
        directory = '' if '\ndirectory = ' in f'\n{config}' else f'directory = {self.directory}\n'
        with open(self.config, 'w', encoding='utf-8') as file:
            file.write(f'[poller io0]\ncpu = none\nidle = sleep\n[vucd]\n'
                       f'{directory}{telemetry}{config}')

    def next_notification(self):
        """What the daemon tells the service manager next."""
        there = self.await_event(lambda: select.select([self.notify], [], [], 0)[0], self.notify)
        assert there, f'vucd has ended: {self.err.decode()}'
        return self.notify.recv(4096).decode()

    def ask(self, method, *args, **params):
        """Ask by the management socket. Returns the whole answer."""
        self.drain()
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(TIMEOUT_S)
            client.connect(self.management)
            client.sendall(json.dumps({'jsonrpc': '2.0', 'method': method,
                                       'params': args or params, 'id': 1}).encode() + b'\n')
            with client.makefile() as answers:
                return json.loads(answers.readline())

    def do(self, method, *args, **params):
        """Ask for what works. Returns the result."""
        answer = self.ask(method, *args, **params)
        assert 'result' in answer, answer
        return answer['result']

    def refuses(self, method, *args, **params):
        """The errno's name of what fails."""
        return self.ask(method, *args, **params)['error']['data']['errno']

    def await_state(self, device, state):
        """Ask until a device is in a state."""
        eventually(lambda: any((row['name'], row['state']) == (device, state)
                               for row in self.do('devices.list')['devices']))

    def close(self):
        super().close()
        self.notify.close()
        self.folder.cleanup()


class Vmm(Process):
    """A VMM that is attached to a device of a daemon; see vmm.c for what it can be told."""

    program = 'VUC_TEST_VMM'

    def __init__(self, daemon, device):
        super().__init__(os.environ[self.program], daemon.vmm_socket, device,
                         stdin=subprocess.PIPE)
        with self.closed_on_failure():
            assert self.next_line() == '0 '

    def next_line(self):
        self.await_output('\n')
        line, self.out = self.out.split(b'\n', 1)
        return line.decode()

    def send(self, what):
        """Tell it to do something, and do not wait for that."""
        self.process.stdin.write(what.encode() + b'\n')
        self.process.stdin.flush()

    def do(self, what):
        """Returns the return value, and the text of an error behind a blank."""
        self.send(what)
        return self.next_line()

    def ok(self, *lines):
        """Tell it to do what has to succeed. Returns the text of the last."""
        text = ''
        for line in lines:
            status, text = self.do(line).split(' ', 1)
            assert status == '0', f'{line}: {status} {text}{self.context()}'
        return text

    def context(self):
        """What is said of it when something has failed."""
        return ''

    def detach(self):
        self.process.stdin.close()
        assert self.wait() == 0

    def close(self):
        self.process.stdin.close()
        super().close()


def starter(kind):
    """The inside of a fixture: a function that makes objects, which are closed in the end."""
    with contextlib.ExitStack() as stack:
        yield lambda *args, **options: stack.enter_context(kind(*args, **options))


def reference_device():
    """The same of one that says nothing and ends well."""
    with Refdev() as device:
        yield device
        assert device.stop() == 0
        assert device.err == b''


class Run:
    """A program that has run to its end: .status, .out and .err."""

    def __init__(self, *args, **popen):
        with Process(*args, **popen) as process:
            self.status = process.wait()
            self.out, self.err = process.out.decode(), process.err.decode()

    def json(self):
        return json.loads(self.out)


def vucctl(*args, status=0, **popen):
    """Run vucctl, which ends with status. When that is 1 it has complained in one line."""
    run = Run(os.environ['VUCCTL'], *args, **popen)
    assert run.status == status, f'{args}: {run.out}{run.err}'
    assert run.err == '' or run.err.startswith('vucctl')
    if status == 1:
        assert run.err.count('\n') == 1
    return run
