# The director as an appliance: one static binary, nothing else. It forwards on interfaces of the network namespace it is
# started in and needs the right to attach programs there, so run it in the host's:
#
#   docker run --rm --network host --cap-drop ALL \
#     --cap-add NET_ADMIN --cap-add NET_RAW --cap-add BPF --cap-add PERFMON --cap-add IPC_LOCK --cap-add SYS_NICE \
#     -v /etc/keepalived:/etc/keepalived:ro -v /run/dirsw:/run/dirsw dirsw

FROM golang:1.26-bookworm AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG VERSION=devel
RUN CGO_ENABLED=0 go build -trimpath -ldflags "-s -w -X main.version=${VERSION}" -o /out/dirsw ./cmd/dirsw \
 && mkdir -p /out/run/dirsw /out/etc/keepalived

FROM scratch
COPY --from=build /out/dirsw /usr/sbin/dirsw
COPY --from=build /out/run /run
COPY --from=build /out/etc /etc
ENTRYPOINT ["/usr/sbin/dirsw"]
CMD ["run", "-f", "/etc/keepalived/keepalived.conf"]
