# SPDX-License-Identifier: BSD-3-Clause
"""Linux guests in QEMU: the folder that make-guest makes, a guest that does what it is told, and
its disk, which a vuc-refdev serves."""

import hashlib
import json
import os
import re
import shutil
import socket
import subprocess
import tempfile

import pytest

import rig

MACHINE = ('-smp', 2, '-m', '256M', '-object', 'memory-backend-memfd,id=m,share=on,size=256M',
           '-machine', 'q35,memory-backend=m')

INIT = """#!/bin/busybox sh
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mount -t tmpfs tmp /tmp
mkfifo /to /from
exec 3<>/to 4<>/from </dev/hvc0 >/dev/hvc0 2>&1
stty raw -echo
echo ready
while read -r line; do
	(eval "$line") </dev/null
	echo "=$?"
done
"""


def guest_folder():
    """The folder, which is made if it does not exist, by whichever test comes first."""
    make_guest = os.environ['VUC_MAKE_GUEST']
    with open(make_guest, 'rb') as file:  # another one makes another folder
        version = hashlib.sha256(file.read()).hexdigest()[:8]
    default = os.path.join(os.environ.get('XDG_CACHE_HOME') or os.path.expanduser('~/.cache'),
                           'vuc', f'guest-{version}')
    folder = os.environ.get('VUC_GUEST_DIR', default)
    if not folder:
        pytest.skip('VUC_GUEST_DIR is empty')
    made = rig.Run(make_guest, folder)
    if made.status == 77:
        pytest.skip(made.out.splitlines()[-1])
    assert made.status == 0, made.out + made.err
    return folder


def with_libraries(*programs):
    """This machine's programs and all that they load, as files of a guest at the same paths."""
    loaded = re.findall(r'(/\S+) \(0x', rig.Run('ldd', *programs).out)
    return {path[1:]: path for path in (*programs, *loaded)}


class Programs:
    """Those of the folder, whose names are arguments that start them."""

    def __init__(self):
        self.folder = guest_folder()
        self.kernel = f'{self.folder}/kernel'
        self.accelerator = self.probe_accelerator()

    def command(self, program):
        usr = f'{self.folder}/usr'
        return [f'{usr}/lib64/ld-linux-x86-64.so.2', '--library-path',
                f'{usr}/lib/x86_64-linux-gnu', f'{usr}/{program}']

    def run(self, program, *args):
        """Run one to its end. Returns its output."""
        done = rig.Run(*self.command(program), *args)
        assert done.status == 0, done.out + done.err
        return done.out

    def files(self, program):
        """What a guest needs to run one: the paths there, and those here."""
        loader, *options, path = self.command(program)
        libraries = re.findall(r'=> (\S+)', rig.Run(loader, *options, '--list', path).out)
        return {f'bin/{os.path.basename(path)}': path, 'lib64/ld-linux-x86-64.so.2': loader} | {
            f'lib/x86_64-linux-gnu/{os.path.basename(library)}': library for library in libraries}

    def modules(self):
        """The same for the kernel's modules."""
        folder = f'{self.folder}/modules'
        return {f'modules/{name}': f'{folder}/{name}' for name in os.listdir(folder)}

    def probe_accelerator(self):
        """KVM where a guest boots by it: some hosts do not carry out all of its instructions. What
        has been found is kept in the folder."""
        path = f'{self.folder}/accelerator'
        if not os.path.exists(path):
            found = 'kvm' if os.access('/dev/kvm', os.R_OK | os.W_OK) and self.has_kvm() else 'tcg'
            with open(path, 'w', encoding='utf-8') as file:
                file.write(found)
        with open(path, encoding='utf-8') as file:
            return file.read()

    def has_kvm(self):
        self.accelerator = 'kvm'
        with Guest(self, ready=False) as guest:
            try:
                guest.await_event(lambda: b'ready\n' in guest.out or b'KVM' in guest.err)
            except rig.Hung:
                return False
            return b'ready\n' in guest.out


class Qmp:
    """QEMU's monitor."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(rig.TIMEOUT_S)
        self.socket.connect(path)
        self.lines = self.socket.makefile()
        assert 'QMP' in self.next()
        self.do('qmp_capabilities')

    def next(self):
        line = self.lines.readline()
        assert line, 'QEMU has ended'
        return json.loads(line)

    def do(self, command, **args):
        """Returns the result of what has to work."""
        self.socket.sendall(json.dumps({'execute': command, 'arguments': args}).encode())
        while True:
            answer = self.next()
            if 'event' not in answer:
                assert 'return' in answer, answer
                return answer['return']

    def close(self):
        self.lines.close()
        self.socket.close()


class Guest(rig.Process):
    """A guest that waits for commands. It has a root port port0 for the disk at a socket, if that
    is given, and logs its kernel's messages in its folder.

    kernel: arguments of its kernel. device: properties of the disk. machine: QEMU's options for
    CPUs and memory. options: more of QEMU's. files: paths in the guest, and those of the files that
    are copied there."""

    def __init__(self, programs, disk=None, kernel='', ready=True, machine=MACHINE, options=(),
                 files=None, **device):
        self.folder = tempfile.TemporaryDirectory(prefix='vuc-')
        self.monitor = None
        self.make_initramfs(programs, files or {})
        devices = []
        if disk:
            devices = ['-device', json.dumps(self.device(disk, **device))]
        super().__init__(
            *programs.command('bin/qemu-system-x86_64'), '-L', f'{programs.folder}/usr/share/qemu',
            '-L', f'{programs.folder}/usr/share/seabios', '-nodefaults', '-no-user-config',
            '-display', 'none', '-no-reboot', '-accel', programs.accelerator, *machine, *options,
            '-serial', f'file:{self.folder.name}/console', '-chardev', 'stdio,id=commands',
            '-device', 'virtio-serial-pci', '-device', 'virtconsole,chardev=commands',
            '-qmp', f'unix:{self.folder.name}/qmp,server=on,wait=off',
            '-kernel', programs.kernel, '-initrd', f'{self.folder.name}/initramfs',
            # On a busy machine, the kernel would find the emulated timer too slow, and panic.
            '-append', f'console=ttyS0 panic=-1 no_timer_check {kernel}',
            '-device', 'pcie-root-port,id=port0,chassis=1', *devices, stdin=subprocess.PIPE)
        with self.closed_on_failure():
            if ready:
                assert self.await_event(lambda: b'ready\n' in self.out), \
                    f'{self.err.decode()}{self.console()[-3000:]}'
                self.out = b''
                self.monitor = Qmp(f'{self.folder.name}/qmp')

    @staticmethod
    def device(path, **properties):
        return {'driver': 'vfio-user-pci', 'id': 'disk', 'bus': 'port0',
                'socket': {'type': 'unix', 'path': path}} | properties

    def make_initramfs(self, programs, files):
        busybox = f'{programs.folder}/usr/bin/busybox'
        with tempfile.TemporaryDirectory() as root:
            for name in ('bin', 'dev', 'mnt', 'proc', 'sys', 'tmp'):
                os.mkdir(f'{root}/{name}')
            shutil.copy(busybox, f'{root}/bin')
            for path, here in (files | {'bin/test_guest': os.environ['VUC_TEST_GUEST']}).items():
                os.makedirs(os.path.dirname(f'{root}/{path}'), exist_ok=True)
                shutil.copy(here, f'{root}/{path}')
            with open(f'{root}/init', 'w', encoding='utf-8') as init:
                init.write(INIT)
            for path in ('', '/init'):  # other users than root get in, too
                os.chmod(root + path, 0o755)
            subprocess.run(f'find . | {busybox} cpio -o -H newc >{self.folder.name}/initramfs',
                           shell=True, cwd=root, check=True, stderr=subprocess.DEVNULL)

    def console(self):
        with open(f'{self.folder.name}/console', encoding='utf-8', errors='replace') as file:
            return file.read()

    def do(self, command):
        """Run a line of shell. Returns its exit status and its output."""
        self.process.stdin.write(command.encode() + b'\n')
        self.process.stdin.flush()
        while not (ended := re.search(rb'(?:^|\n)=(\d+)\r?\n', self.out)):
            seen = len(self.out)
            assert self.await_event(lambda: len(self.out) > seen), self.err
        text, self.out = self.out[:ended.start()], self.out[ended.end():]
        return int(ended[1]), text.decode().replace('\r', '')

    def ok(self, command):
        """The same of what has to succeed. Returns the output."""
        status, text = self.do(command)
        assert status == 0, f'{command}: {status} {text}\n{self.console()[-3000:]}'
        return text

    def eventually(self, command):
        """Run a line again and again until it succeeds."""
        rig.eventually(lambda: self.do(command)[0] == 0)

    def await_disk(self):
        self.eventually('[ -b /dev/nvme0n1 ] && [ $(cat /sys/class/nvme/nvme0/state) = live ]')

    # test_guest in the guest; see guest.c.

    def begin(self, path):
        """Let it write and verify a file or a device."""
        self.test_guest = self.ok(f'(test_guest {path} <&3 >&4 2>&1 & echo $!)').strip()
        return self.tell('run')

    def tell(self, what):
        text = self.ok(f'echo {what} >&3; read -r answer <&4; echo "$answer"')
        report = dict(re.findall(r'(\w+)=(\d+)', text))
        assert 'rounds' in report, text
        report = {key: int(value) for key, value in report.items()}
        assert (report['wrong'], report['errors']) == (0, 0), f'{text}\n{self.console()[-3000:]}'
        return report

    def end(self):
        self.ok(f'kill {self.test_guest}')

    def await_rounds(self):
        """Wait until each of its threads has written and verified twice from now on. Returns the
        longest pause since the last report, in milliseconds."""
        before = self.tell('report')
        longest = before['longest_ms']

        def has_gone_on():
            nonlocal longest
            report = self.tell('report')
            longest = max(longest, report['longest_ms'])
            return report['rounds'] >= before['rounds'] + 2
        try:
            rig.eventually(has_gone_on)
        except rig.Hung as hung:
            raise rig.Hung(f'{hung}: {self.tell("report")}\n{self.console()[-3000:]}') from None
        return longest

    def power_off(self):
        self.process.stdin.write(b'poweroff -f\n')
        self.process.stdin.flush()
        assert self.wait() == 0

    def close(self):
        if self.monitor:
            self.monitor.close()
        super().close()
        self.process.stdin.close()
        self.folder.cleanup()
