# Two images, each one static binary that `make build` has made:
#
#   buildah build --target outrider      -t outrider .
#   buildah build --target outrider-init -t outrider-init .
#
# Nothing is pulled. TARGETARCH comes from the engine or from --build-arg.

FROM scratch AS outrider-init
ARG TARGETARCH
COPY bin/linux-${TARGETARCH:-amd64}/outrider-init /usr/local/bin/outrider-init
# Rules in the kernel need uid 0 and NET_ADMIN; the pod grants that and no more.
USER 0:0
ENTRYPOINT ["/usr/local/bin/outrider-init"]

FROM scratch AS outrider
ARG TARGETARCH
COPY bin/linux-${TARGETARCH:-amd64}/outrider /usr/local/bin/outrider
USER 65532:65532
ENTRYPOINT ["/usr/local/bin/outrider"]
