#!/usr/bin/env bash
# Builds the two images for each architecture from the binaries in bin/, with
# the first engine found. Nothing is pulled or pushed.
# Usage: hack/image.sh HUB TAG ARCH...
set -euo pipefail
hub=${1:?usage: hack/image.sh HUB TAG ARCH...} tag=${2:?no tag}
shift 2
cd "$(dirname "${BASH_SOURCE[0]}")/.."

for engine in buildah podman docker none; do
	if command -v "$engine" >/dev/null; then break; fi
done
if [[ $engine == none ]]; then
	echo "image: no buildah, podman or docker; install one of them" >&2
	exit 1
fi
for arch in "$@"; do
	for image in outrider outrider-init; do
		name=$hub/$image:$tag-$arch
		echo "image: $name ($engine)"
		"$engine" build --quiet --platform "linux/$arch" --build-arg "TARGETARCH=$arch" --target "$image" --tag "$name" .
	done
done
