#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Whether programs can be built with what is installed: by pkg-config alone, shared and static."""

import argparse
import itertools
import os
import pathlib
import re
import shlex
import shutil
import subprocess
import sys
import tempfile

from tap import Tap, differences

# Which libraries there are, and which others of them the program of each one gets by pkg-config.
LIBRARIES = {'libvuc': [], 'libvuc-vmm': [], 'libvuc-poller': ['libvuc', 'libvuc-vmm']}

# What runs, the libraries that it is linked with, in that order, and how its test is called.
INLINE = ['a read of ERROR fails: Input/output error', '1']
ONE_POLLER = ['socket2: 1000 writes read back', '2']
PROGRAMS = [
    ('inline_access', ['libvuc'], INLINE),
    ('inline_access', ['libvuc-vmm', 'libvuc'], INLINE),
    ('one_poller', ['libvuc-poller'], ONE_POLLER),
    ('one_poller', ['libvuc', 'libvuc-vmm', 'libvuc-poller'], ONE_POLLER),
    ('one_poller', ['libvuc-vmm', 'libvuc-poller', 'libvuc'], ONE_POLLER),
    ('vmm_attach', ['libvuc-vmm'], None),
    ('vmm_attach', ['libvuc', 'libvuc-vmm'], None),
    ('vmm_attach', ['libvuc-poller', 'libvuc-vmm'], None),
]


def run(command, **more):
    """Run a command; return what is wrong with it, a line each."""
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, timeout=100, check=False, **more)
    if done.returncode == 0:
        return []
    return [f'{shlex.join(map(str, command))}: status {done.returncode}',
            *done.stdout.splitlines()[:20]]


class Installation:
    def __init__(self, args, root):
        self.args = args
        self.root = root
        self.prefix = root / args.prefix.lstrip('/')
        self.libdir = self.prefix / args.libdir

    def install(self):
        return run(['meson', 'install', '-C', self.args.build, '--no-rebuild', '--quiet',
                    '--destdir', self.root])

    def ask(self, *options):
        """What pkg-config says, with no other .pc file than those installed here."""
        env = dict(os.environ, PKG_CONFIG_LIBDIR=str(self.libdir / 'pkgconfig'),
                   PKG_CONFIG_SYSROOT_DIR=str(self.root))
        env.pop('PKG_CONFIG_PATH', None)
        return shlex.split(subprocess.run(['pkg-config', *options], env=env, text=True, timeout=60,
                                          stdout=subprocess.PIPE, check=True).stdout)

    def build(self, compiler, name, libraries, *options):
        """Build an example into the root folder."""
        static = ['--static'] if options else []
        flags = self.ask(*static, '--cflags', '--libs', *libraries)
        return run([compiler, self.args.examples / f'{name}.c', '-Wall', '-Werror', '-pthread',
                    '-o', self.root / name, *[option for option in options if option], *flags])

    def try_out(self, name, how):
        if how is None:
            return []
        return run([self.args.examples / 'test.sh', self.args.refdev, *how, self.root / name],
                   env=dict(os.environ, LD_LIBRARY_PATH=str(self.libdir)))

    def names_of(self, library):
        """Global names that an archive defines."""
        lines = subprocess.run(['nm', '-g', '--defined-only', self.libdir / f'{library}.a'],
                               stdout=subprocess.PIPE, text=True, timeout=60, check=True).stdout
        return set(re.findall(r'^[0-9a-f]+ [A-Z] (\w+)$', lines, re.MULTILINE))

    def exports_of(self, library, pattern=r'\w+(?=@)'):
        """Names that a shared library defines for whoever links it."""
        lines = subprocess.run(
            ['nm', '-D', '--defined-only', self.libdir / f'{library}.so'],
            stdout=subprocess.PIPE, text=True, timeout=60, check=True).stdout
        return set(re.findall(rf'^[0-9a-f]+ [B-Z] ({pattern})', lines, re.MULTILINE))

    def lacks_archives(self, compiler, libraries):
        """Archives of other packages that this machine does not have."""
        names = [f'lib{flag[2:]}.a' for flag in self.ask('--static', '--libs', *libraries)
                 if flag.startswith('-l')]
        found = {name: subprocess.run([compiler, f'-print-file-name={name}'], text=True, timeout=60,
                                      stdout=subprocess.PIPE, check=True).stdout.strip()
                 for name in names}
        return [name for name in names
                if found[name] == name and not (self.libdir / name).exists()]


def check_headers(tap, installation):
    public = {path.name for path in installation.args.include.glob('*.h')} - {'export.h'}
    found = {path.name for path in (installation.prefix / 'include' / 'vuc').iterdir()}
    tap.check('the public headers are installed, and no others',
              differences('include/vuc', public, found))
    for library in LIBRARIES:
        flags = set(installation.ask('--cflags', library))
        own = {f'-I{installation.prefix / "include"}'}
        tap.check(f'{library}: its headers need no other options',
                  [f'unexpected option {flag}' for flag in sorted(flags - own)])


def check_unit(tap, installation):
    """systemd looks at the programs that the unit starts, so they are those just installed."""
    title = 'the unit, by systemd-analyze'
    units = list(installation.root.glob('**/vucd.service'))
    tap.check('the unit is installed', [] if len(units) == 1 else [f'units: {units}'])
    text = units[0].read_text()
    config = re.findall(r'--config (\S+)$', text, re.MULTILINE)
    told = subprocess.run([installation.prefix / 'sbin/vucd', '--help'], stdin=subprocess.DEVNULL,
                          env=dict(os.environ, LD_LIBRARY_PATH=str(installation.libdir)),
                          capture_output=True, text=True, timeout=60, check=True).stdout
    tap.check('unit and program have the same configuration',
              [f'{config}'] if len(set(config)) != 1 or config[0] not in told else [])
    units[0].write_text(re.sub(r'^(Exec\w+=)', rf'\1{installation.root}', text, flags=re.MULTILINE))
    if shutil.which('systemd-analyze') is None:
        tap.skip(title, 'no systemd-analyze')
    else:
        tap.check(title, run(['systemd-analyze', 'verify', '--man=no', units[0]]))


def check_owners(tap, installation):
    """A program that links several libraries finds each name once, in whatever order; and no
    name but those of the public functions and of what one library calls of another."""
    for library in LIBRARIES:
        tap.check(f'{library}: archive, the names that the shared library exports',
                  differences('global name', installation.exports_of(library),
                              installation.names_of(library)))
    for one, other in itertools.combinations(LIBRARIES, 2):
        tap.check(f'{one} and {other}: shared, no name in common',
                  sorted(installation.exports_of(one) & installation.exports_of(other)))
        tap.check(f'{one} and {other}: archives, no name in common',
                  sorted(installation.names_of(one) & installation.names_of(other)))


def check_symbols(tap, installation):
    """Debian's packages name each public function and its version."""
    for library in LIBRARIES:
        text = next(text for text in map(pathlib.Path.read_text, installation.args.debian.glob('*.symbols'))
                    if text.startswith(f'{library}.so.'))
        exports = {name for name in installation.exports_of(library, r'\w+@@VUC\w*[\d.]+')
                   if '@@VUC_PRIVATE_' not in name}
        named = {name.replace('@', '@@') for name in re.findall(r'^ (vuc\w+@\S+) ', text, re.MULTILINE)}
        tap.check(f'{library}: debian/*.symbols has the public functions',
                  differences('function', exports, named))


def check_needs(tap, installation):
    """Only what needs polling cores loads DPDK."""
    libraries = [installation.libdir / f'{name}.so' for name in LIBRARIES]
    for path in [*libraries, *(installation.prefix / 'bin').iterdir()]:
        needed = subprocess.run(['ldd', path], stdout=subprocess.PIPE, text=True, timeout=60,
                                env=dict(os.environ, LD_LIBRARY_PATH=str(installation.libdir)),
                                check=True).stdout
        loads = re.findall(r'^\s*(lib(?:rte_|numa|vuc-poller)\S*)', needed, re.MULTILINE)
        if path.name in ('libvuc-poller.so', 'vuc-bench'):
            tap.check(f'{path.name} loads DPDK', [] if loads else needed.splitlines())
        else:
            tap.check(f'{path.name} does not load DPDK', loads)
    for library, others in LIBRARIES.items():
        given = {f'lib{flag[2:]}' for flag in installation.ask('--libs', library)
                 if flag.startswith('-l')}
        tap.check(f'{library}: pkg-config gives what its headers need',
                  differences('-l', {library, *others}, given))


def check_links(tap, installation, kind, *options):
    """kind: how; options: of the compiler, '' for none, without any for shared libraries."""
    for compiler in filter(shutil.which, ('gcc', 'clang')):
        for name, libraries, how in PROGRAMS:
            title = f'{name} with {" and ".join(libraries)}, {kind}, {compiler}'
            lacks = installation.lacks_archives(compiler, libraries) if '-static' in options else []
            if lacks:
                tap.skip(title, f'no {", ".join(lacks)}')
                continue
            tap.check(title, installation.build(compiler, name, libraries, *options)
                      or installation.try_out(name, how))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ('build', 'debian', 'examples', 'include', 'refdev'):
        parser.add_argument(f'--{name}', type=pathlib.Path, required=True)
    for name in ('prefix', 'libdir'):
        parser.add_argument(f'--{name}', required=True)
    args = parser.parse_args()

    tap = Tap()
    with tempfile.TemporaryDirectory(prefix='vuc-install-') as root:
        installation = Installation(args, pathlib.Path(root))
        problems = installation.install()
        tap.check('meson install', problems)
        if problems:
            return tap.finish()
        check_unit(tap, installation)
        check_headers(tap, installation)
        check_owners(tap, installation)
        check_symbols(tap, installation)
        check_needs(tap, installation)
        check_links(tap, installation, 'shared libraries')
        for library in installation.libdir.glob('libvuc*.so*'):
            library.unlink()
        check_links(tap, installation, 'archives of vuc', '')
        check_links(tap, installation, 'only archives', '-static')
    return tap.finish()


if __name__ == '__main__':
    sys.exit(main())
