#!/bin/sh
# Writes who may do what, with hashed passwords, into memory; then becomes the server.
# A restart takes changed secrets in.
set -eu
umask 077

hash() {
    sha256sum | cut -d ' ' -f 1
}

secret() {
    content=$(cat "/run/secrets/$1")
    [ -n "$content" ] || { echo "The secret $1 is empty." >&2; exit 1; }
    printf %s "$content" | hash
}

# Nobody knows this one. The user `default` must be there: at a start its rights replay the append-only file.
nobody=$(head -c 32 /dev/urandom | hash)
muster=$(secret redis_password)
flower=$(secret redis_flower_password)
sed -e "s/{nobody}/$nobody/" -e "s/{muster}/$muster/" -e "s/{flower}/$flower/" \
    /etc/muster/users.acl >/tmp/users.acl
exec redis-server /etc/muster/redis.conf
