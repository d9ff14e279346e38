# SPDX-License-Identifier: BSD-3-Clause
#
# For the tests of examples: lines of TAP, and a private folder $dir. The test has clean_up().

dir=$(mktemp -d "${TMPDIR:-/tmp}/vuc-example-XXXXXX") || exit 1
export RUNTIME_DIRECTORY="$dir" # DPDK's EAL makes its folder there
failed=0
n=0
trap clean_up EXIT
trap 'exit 1' HUP INT TERM

# check NAME COMMAND...: a line of TAP, and behind a failure what the programs have said
check() {
	name=$1
	shift
	n=$((n + 1))
	if "$@"; then
		echo "ok $n - $name"
	else
		failed=1
		echo "not ok $n - $name"
		sed 's/^/# /' "$dir"/*.out "$dir"/*.err
	fi
}

# status_is STATUS COMMAND...
status_is() {
	wanted=$1
	shift
	"$@" >"$dir/example.out" 2>"$dir/example.err"
	[ $? -eq "$wanted" ]
}

one_line() {
	[ "$(wc -l <"$1")" -eq 1 ]
}
