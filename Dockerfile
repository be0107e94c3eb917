# The image holds one static binary, the root certificates and nothing else; it runs as a numeric user without rights.
#
#   docker build --build-arg VERSION="$(git describe --tags --always)" -t understudy .
#   docker run --network redis -p 6379:6379 -e UNDERSTUDY_NODES=redis-1:6379 -v understudy:/var/lib/understudy understudy
#
# redis-1 is a name on that network (docker network create redis). The volume takes over the owner of the folder below; a
# folder of the host that is mounted there instead must belong to user 65532.

FROM golang:1.26 AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG VERSION=dev
RUN CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags "-s -w -X main.version=${VERSION}" -o /out/understudy ./cmd/understudy
RUN mkdir /out/state

FROM scratch
# For ZooKeeper through TLS with a certificate that one of the well-known authorities has signed.
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY --from=build /out/understudy /usr/local/bin/understudy
# Where the State is kept when there is no ZooKeeper. Mount a volume here to keep it longer than the container.
COPY --from=build --chown=65532:65532 /out/state /var/lib/understudy
WORKDIR /var/lib/understudy
USER 65532:65532

# Every option can be given as a variable; inside a container it listens on all addresses. The admin port is for those who
# are inside: "understudy status" and its kin ask there (UNDERSTUDY_ADDR), and need no password of the nodes. Whoever
# changes UNDERSTUDY_ADMIN changes UNDERSTUDY_ADDR with it, or the image is never healthy; UNDERSTUDY_LISTEN alone may be changed.
ENV PATH=/usr/local/bin \
	UNDERSTUDY_LISTEN=:6379 \
	UNDERSTUDY_STATE=/var/lib/understudy/state.json \
	UNDERSTUDY_ADMIN=127.0.0.1:6390 \
	UNDERSTUDY_HTTP=:6391 \
	UNDERSTUDY_ADDR=127.0.0.1:6390
# Clients; metrics, probes and the status page.
EXPOSE 6379 6391

# Healthy means that the process answers; a master that is down is no reason to restart the proxy.
HEALTHCHECK --interval=10s --timeout=3s --start-period=5s --retries=3 \
	CMD ["/usr/local/bin/understudy", "status"]

ENTRYPOINT ["/usr/local/bin/understudy"]
CMD ["run"]
