# A server on NVIDIA's boards, built on any machine. `base` is NVIDIA's image for the JetPack of the board (l4t-jetpack), which brings
# CUDA and TensorRT; `library` in it, or a mount, has an ONNX Runtime that was built for them. Build from the root of the repository.
ARG base
FROM --platform=$BUILDPLATFORM rust:1.92-slim-bookworm AS build
RUN apt-get update && apt-get install --yes --no-install-recommends gcc gcc-aarch64-linux-gnu g++-aarch64-linux-gnu libc6-dev \
    libc6-dev-arm64-cross && rm -rf /var/lib/apt/lists/*
RUN rustup target add aarch64-unknown-linux-gnu
ENV CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc
WORKDIR /takt
COPY . .
RUN cargo build --locked --profile dist --target aarch64-unknown-linux-gnu --no-default-features --features serve,ort

FROM --platform=linux/arm64 ${base}
ARG library=/usr/local/lib/libonnxruntime.so
ENV TAKT_ORT=${library}
COPY --from=build /takt/target/aarch64-unknown-linux-gnu/dist/takt /usr/local/bin/takt
USER 65532:65532
VOLUME ["/models", "/state"]
EXPOSE 8000 8001 8002
ENTRYPOINT ["/usr/local/bin/takt"]
CMD ["serve", "--model-repository", "/models", "--state-dir", "/state"]
