# The operator's image: two static programs, the certificates of public authorities, and nothing else. The runner is in it
# because an init container of this image places it into an agent's pod.
#   docker build --tag ghcr.io/punching-fist/punching-fist:0.1.0 .
# For both platforms: docker buildx build --platform linux/amd64,linux/arm64 …  `cargo xtask images check` tries what can be
# tried without Docker. Another base, pinned: --build-arg RUST=rust:1.95-slim@sha256:…
ARG RUST=rust:1.95-slim

FROM ${RUST} AS build
ARG TARGETARCH
WORKDIR /source
COPY . .
# A static glibc, which resolves names without loading anything from 2.34 on. With a target named, build scripts and macros,
# which can't be static, don't get the flag.
RUN --mount=type=cache,target=/usr/local/cargo/registry,sharing=locked \
    --mount=type=cache,id=target-${TARGETARCH},target=/source/target,sharing=locked \
    target="$(rustc --print host-tuple)" \
    && RUSTFLAGS="-C target-feature=+crt-static" cargo build --release --locked --target "${target}" \
        --package punching-fist --package punching-fist-runner \
    && mkdir /programs \
    && cp "target/${target}/release/punching-fist" "target/${target}/release/punching-fist-runner" /programs

FROM scratch
LABEL org.opencontainers.image.title="Punching Fist" \
    org.opencontainers.image.description="A Kubernetes operator that answers alerts with OpenHands agents" \
    org.opencontainers.image.source="https://github.com/punching-fist/punching-fist" \
    org.opencontainers.image.licenses="Apache-2.0"
# Whom the gateway calls is a public authority's name.
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /programs /usr/local/bin
ENV PATH=/usr/local/bin
USER 65532:65532
ENTRYPOINT ["/usr/local/bin/punching-fist"]
