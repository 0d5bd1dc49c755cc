#!/usr/bin/env bash
# Installs Debian packages where they are missing and that is possible: those
# that tests need, or those of its arguments, COMMAND:PACKAGE. Elsewhere those
# tests skip with the reason, or fail with REQUIRE_REAL=1.
set -euo pipefail

# command -> Debian package
needs=("$@")
[[ $# -gt 0 ]] || needs=(cc:gcc nft:nftables iptables-restore:iptables ip:iproute2 nsenter:util-linux pip3:python3-pip)

missing=()
for need in "${needs[@]}"; do
	command -v "${need%%:*}" >/dev/null || [[ -x /usr/sbin/${need%%:*} ]] || missing+=("${need##*:}")
done
[[ ${#missing[@]} -gt 0 ]] || exit 0

if [[ $(uname -s) != Linux || $EUID -ne 0 ]] || ! command -v apt-get >/dev/null; then
	echo "test-deps: install: ${missing[*]}" >&2
	exit 0
fi
echo "test-deps: installing ${missing[*]}" >&2
apt-get update -qq
DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
