#!/usr/bin/env bash
# The fuzz targets' cards, one a kind. Committed because the corpus speaks of their very bytes. Their keys and secrets are
# nobody's; all are RSA-1024, because a signature of the longer keys takes 30 ms under a sanitizer.
set -euo pipefail
cd "$(dirname "$0")"

step() {
    "${JPKI:-jpki}" card new --seed "fuzz $kind" --now 2026-09-21T13:33:20Z --step "$@" "$kind.toml"
}

# Other keys in the place of those in the file.
short_keys() {
    awk -v key='openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:1024 2>/dev/null' '
        /^-----BEGIN/ { while ((key | getline line) > 0) print line; close(key); old = 1 }
        !old
        /^-----END/ { old = 0 }'
}

for kind in mynumber juki android; do
    rm -f "$kind.toml"
    step holder --kind "$kind" --pin 7305 --password ZQ7XJ2VK9W4TB8RM --switch first-command-fails=false
    short_keys <"$kind.toml" >short.toml
    chmod 600 short.toml
    mv short.toml "$kind.toml"
    step clerk
done
