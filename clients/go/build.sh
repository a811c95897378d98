#!/bin/sh
# Builds clients/go/build/stream with nothing but Debian's packages:
# golang-go golang-google-grpc-dev golang-github-golang-protobuf-1-5-dev protobuf-compiler protoc-gen-go-1-5 protoc-gen-go-grpc
set -eu
cd "$(dirname "$0")"
mkdir -p build/src/affectstream.dev
protoc -I ../../protos --go_out=build/src --go-grpc_out=build/src affectstream/v1/affect.proto
ln -sfn ../../.. build/src/affectstream.dev/client
# Debian keeps Go's libraries in a GOPATH, of the time before modules.
export GO111MODULE=off GOFLAGS= GOPATH="$PWD/build:/usr/share/gocode" GOCACHE="$PWD/build/cache"
command -v gcc >/dev/null || export CGO_ENABLED=0
cd build/src/affectstream.dev/client
go build -o build/stream affectstream.dev/client/cmd/stream
