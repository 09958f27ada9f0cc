#!/bin/bash
# The base images: pulled, or where no registry can be reached, stand-ins under their tags. Only what is missing is built.
. "$(dirname "$0")/env.sh"; set -e
# One pull tells whether there is a registry; the others are then pulled when they are needed.
timeout 60 docker pull -q redis:7-alpine >/dev/null 2>&1 && exit 0
have() { docker image inspect "$1" >/dev/null 2>&1; }
if ! have debian:bookworm-slim; then
  root=$(mktemp -d "$DOCKER_LAB/rootfs.XXXX")
  debootstrap --variant=minbase bookworm "$root" "$APT_URI" >"$DOCKER_LAB/debootstrap.log" 2>&1
  rm -rf "$root"/var/cache/apt/archives/*.deb "$root"/var/lib/apt/lists/*
  tar -C "$root" -c . | docker import -c 'CMD ["bash"]' - debian:bookworm-slim >/dev/null; rm -rf "$root"
fi
context=$DOCKER_LAB/base; rm -rf "$context"; mkdir -p "$context/cpython"; cp "$HERE"/Dockerfile "$HERE"/*-entrypoint.sh "$context/"
python=$(ls -d "${PYENV_ROOT:-$HOME/.pyenv}"/versions/3.12.* 2>/dev/null | head -1 || true)
if [ -n "$python" ]; then
  tar -C "$python" -c --exclude=__pycache__ --exclude='lib/python3*/test' --exclude='lib/python3*/idlelib' --exclude='lib/python3*/tkinter' \
      --exclude='lib/python3*/site-packages' --exclude='*.a' --exclude=share . | tar -C "$context/cpython" -x
  for f in "$context"/cpython/bin/*; do [ "$(head -c2 "$f" | tr -d '\0')" = '#!' ] && rm -f "$f"; done
fi
build() { have "$2" || docker build -q --secret id=ca,src="$CA" --target "$1" -t "$2" "$context" >/dev/null; }
if [ -n "$python" ]; then build py-host python:3.12-slim-bookworm; fi
build py-debian python:3.11-slim-bookworm
build redis redis:7-alpine
build postgres postgres:16-alpine
build prometheus prom/prometheus:v2.54.1
docker image ls --format '{{.Repository}}:{{.Tag}}  {{.Size}}'
