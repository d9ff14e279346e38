#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
#
# archive.sh OUTPUT AR OBJCOPY COMPILER... -- ARCHIVE...
#
# Make the archive that is installed: one object of all objects of the given archives, in which hidden
# names are local, so that none of them meets a name of a program. Intermediate code for link-time
# optimisation goes: it has its own table of names.

set -e
output=$1 ar=$2 objcopy=$3
shift 3
compiler=
while [ "$1" != -- ]; do
	compiler="$compiler $1"
	shift
done
shift
# shellcheck disable=SC2086 # the compiler may come with options, or behind ccache
$compiler -r -nostdlib -fno-lto -o "$output.o" -Wl,--whole-archive "$@"
$objcopy --localize-hidden -R '.gnu.lto_*' -R '.gnu.debuglto_*' "$output.o"
rm -f "$output"
$ar rcs "$output" "$output.o"
rm "$output.o"
