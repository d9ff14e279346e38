#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Whether -Dvmm-only=true needs a compiler and libc only, and installs what a VMM needs."""

import argparse
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

from tap import Tap, differences

# Not pkg-config: no library of another package is found then.
TOOLS = ('cc', 'gcc', 'as', 'ld', 'ar', 'nm', 'objcopy', 'strip', 'sh', 'rm', 'ninja', 'meson', 'scdoc')

INSTALLED = {
    'include/vuc/error.h', 'include/vuc/queue.h', 'include/vuc/shm.h', 'include/vuc/vmm.h',
    'lib/libvuc-vmm.a', 'lib/libvuc-vmm.so', 'lib/libvuc-vmm.so.1', 'lib/libvuc-vmm.so.1.0.0',
    'lib/pkgconfig/libvuc-vmm.pc', 'share/man/man7/libvuc-vmm.7',
}


def make_path(folder):
    folder.mkdir()
    (folder / 'python3').symlink_to(sys.executable)
    for tool in TOOLS:
        found = shutil.which(tool)
        if found:
            (folder / tool).symlink_to(found)
    return str(folder)


def run(tap, title, env, *command):
    """Run a command as a test of that name; return what it prints, None if it fails."""
    done = subprocess.run(command, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, timeout=250, check=False)
    tap.check(title, done.stdout.splitlines()[-20:] if done.returncode else [])
    return None if done.returncode else done.stdout


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('source', type=pathlib.Path)
    args = parser.parse_args()

    tap = Tap()
    with tempfile.TemporaryDirectory(prefix='vuc-vmm-only-') as folder:
        root = pathlib.Path(folder)
        build, prefix = root / 'build', root / 'usr'
        env = {'PATH': make_path(root / 'bin'), 'LC_ALL': 'C.UTF-8', 'HOME': folder,
               'PKG_CONFIG_LIBDIR': folder}
        done = (run(tap, 'meson setup -Dvmm-only=true finds no other library and succeeds', env,
                    'meson', 'setup', build, args.source, '-Dvmm-only=true', '-Dlibdir=lib',
                    f'-Dprefix={prefix}')
                and run(tap, 'it builds', env, 'ninja', '-C', build)
                and run(tap, 'it installs', env, 'meson', 'install', '-C', build))
        if done is None:
            return tap.finish()

        expected = INSTALLED
        if shutil.which('scdoc') is None:
            tap.skip('the man page is installed', 'no scdoc')
            expected = {path for path in INSTALLED if '/man/' not in path}
        tap.check('it installs header, archive, library, .pc and man page of libvuc-vmm',
                  differences('file', expected, {str(path.relative_to(prefix))
                                                 for path in prefix.rglob('*') if not path.is_dir()}))
        for example in ('vmm_attach', 'vmm_loop', 'vmm_io_ops'):
            run(tap, f'{example} is built with what is installed', env, 'cc', '-Wall', '-Werror',
                args.source / 'examples' / f'{example}.c', f'-I{prefix}/include',
                f'-L{prefix}/lib', '-lvuc-vmm', '-o', root / example)
        needed = subprocess.run(['readelf', '-d', prefix / 'lib/libvuc-vmm.so'], text=True, check=True,
                                stdout=subprocess.PIPE, timeout=60, env=dict(os.environ, LC_ALL='C'))
        tap.check('the library loads libc only',
                  differences('NEEDED', {'libc.so.6'},
                              set(re.findall(r'NEEDED.*\[(.*)\]', needed.stdout))))
    return tap.finish()


if __name__ == '__main__':
    sys.exit(main())
