# Two images, each with one static binary from `make build`:
#
#   buildah build --target outrider      -t outrider .
#   buildah build --target outrider-init -t outrider-init .
#
# No image is pulled. TARGETARCH is set by the engine or with --build-arg.

FROM scratch AS outrider-init
ARG TARGETARCH
COPY bin/linux-${TARGETARCH:-amd64}/outrider-init /usr/local/bin/outrider-init
# Installing nftables rules requires uid 0 and NET_ADMIN; the pod grants no more.
USER 0:0
ENTRYPOINT ["/usr/local/bin/outrider-init"]

FROM scratch AS outrider
ARG TARGETARCH
COPY bin/linux-${TARGETARCH:-amd64}/outrider /usr/local/bin/outrider
USER 65532:65532
ENTRYPOINT ["/usr/local/bin/outrider"]
