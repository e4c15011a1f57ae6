# A server on processors, with the runtime that is built in; a library of ONNX Runtime may be mounted and named by TAKT_ORT.
# Build from the root of the repository.
FROM rust:1.92-slim-bookworm AS build
RUN apt-get update && apt-get install --yes --no-install-recommends gcc g++ libc6-dev && rm -rf /var/lib/apt/lists/*
WORKDIR /takt
COPY . .
RUN cargo build --locked --profile dist --no-default-features --features serve,ort

FROM debian:12.11-slim
COPY --from=build /takt/target/dist/takt /usr/local/bin/takt
USER 65532:65532
VOLUME ["/models", "/state"]
EXPOSE 8000 8001 8002
ENTRYPOINT ["/usr/local/bin/takt"]
CMD ["serve", "--model-repository", "/models", "--state-dir", "/state"]
