#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
#
# Usage: check-headers.sh 'COMPILER COMMAND' INCLUDE_DIR
# Each public header compiles alone, as C and as C++, and the README's example compiles too.

set -u
compiler=$1
include=$2
n=0
failed=0

# check NAME LANGUAGE SOURCE
check() {
	n=$((n + 1))
	if printf '%s\n' "$3" | $compiler -fsyntax-only -Wall -Wextra -Werror -I"$include" -x "$2" -; then
		echo "ok $n - $1 as $2"
	else
		failed=1
		echo "not ok $n - $1 as $2"
	fi
}

has_cxx() {
	echo 'int x;' | $compiler -fsyntax-only -x c++ - 2>/dev/null
}

for header in "$include"/vuc/*.h; do
	name=vuc/$(basename "$header")
	check "$name" c "#include <$name>"
	if has_cxx; then
		check "$name" c++ "#include <$name>"
	fi
done
check "the example of README.md" c "$(sed -n "/^\`\`\`c\$/,/^\`\`\`\$/{/^\`\`\`/d;p}" "$include/../README.md")"
echo "1..$n"
exit $failed
