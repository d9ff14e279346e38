#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
#
# Usage: test.sh VUC_REFDEV EXPECTED NR_SOCKETS EXAMPLE [OPTION...]
# Runs an example against a reference device with so many sockets in a private folder. It has to end
# well and print a line that contains EXPECTED, and to say in one line when there is no server.

set -u
refdev=$1
expected=$2
nr_sockets=$3
shift 3

. "${0%/*}/tap.sh"

server=

clean_up() {
	[ -z "$server" ] || kill "$server"
	rm -rf "$dir"
}

# The server writes a line when it can be connected to; when it dies before, the file just ends.
start_server() {
	mkfifo "$dir/ready" || return
	"$refdev" --ready-fd=3 "$@" 3>"$dir/ready" >"$dir/server.out" 2>"$dir/server.err" &
	server=$!
	read -r _ <"$dir/ready"
}

stop_server() {
	kill "$server" && wait "$server"
	status=$?
	server=
	[ $status -eq 0 ] && [ ! -s "$dir/server.err" ]
}

for i in $(seq "$nr_sockets"); do
	set -- "$@" "$dir/socket$i"
done
check "usage" status_is 2 "$1"
check "no server" status_is 1 "$@"
check "no server: one line says so" one_line "$dir/example.err"
check "server" start_server $(seq -f "$dir/socket%.0f" "$nr_sockets")
check "runs" status_is 0 "$@"
check "says \"$expected\"" grep -qF "$expected" "$dir/example.out"
check "the server is well" stop_server
echo "1..$n"
exit $failed
