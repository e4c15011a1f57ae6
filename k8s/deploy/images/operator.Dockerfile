# The operator: `takt operator run`. Build from the root of the repository.
FROM rust:1.92-slim-bookworm AS build
RUN apt-get update && apt-get install --yes --no-install-recommends gcc libc6-dev && rm -rf /var/lib/apt/lists/*
WORKDIR /takt
COPY . .
RUN cargo build --locked --profile dist --no-default-features --features operator

FROM debian:12.11-slim
COPY --from=build /takt/target/dist/takt /usr/local/bin/takt
USER 65532:65532
EXPOSE 8080
ENTRYPOINT ["/usr/local/bin/takt"]
CMD ["operator", "run"]
