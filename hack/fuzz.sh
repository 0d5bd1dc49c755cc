#!/usr/bin/env bash
# Runs every fuzz target of the module for the given time each. Inputs that fail
# are written by the go command to testdata/fuzz beside the test: commit them.
# Usage: hack/fuzz.sh TIME
set -euo pipefail
time=${1:?usage: hack/fuzz.sh TIME, such as 30s}
cd "$(dirname "${BASH_SOURCE[0]}")/.."

mapfile -t targets < <(git ls-files '*_test.go' | xargs -r grep -HoE '^func Fuzz[A-Za-z0-9_]*' | sort -u)
if ((${#targets[@]} == 0)); then
	echo "fuzz: no targets" >&2
	exit 1
fi
failed=0
for target in "${targets[@]}"; do
	file=${target%%:*}
	name=${target##* }
	echo "fuzz: $(dirname "$file") $name for $time"
	"${GO:-go}" test -run '^$' -fuzz "^$name\$" -fuzztime "$time" "./$(dirname "$file")" || failed=$((failed + 1))
done
echo "fuzz: $((${#targets[@]} - failed)) passed, $failed failed"
((failed == 0))
