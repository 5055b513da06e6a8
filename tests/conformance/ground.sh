#!/bin/sh
# A pcscd with a practice card in a virtual reader, and a program that finds no other: ground.sh JPKI CARD PROGRAM...
#
# All of it lives in mount and network namespaces of its own. The card is CARD's copy in the scratch directory.
set -eu

if [ "${GROUND-}" != inside ]; then
    user=$([ "$(id -u)" -eq 0 ] || echo --map-root-user)
    # The first process of the namespace takes all others with it.
    GROUND=inside exec unshare --mount --net --pid --fork --kill-child --mount-proc $user "$0" "$@"
fi

jpki=$1 card=$2
shift 2

ip link set lo up
mount -t tmpfs tmpfs /run
mkdir /run/pcscd /run/readers
cat >/run/readers/vpcd <<'READERS'
FRIENDLYNAME "Virtual PCD"
DEVICENAME /dev/null:0x8C7B
LIBPATH /usr/lib/pcsc/drivers/serial/libifdvpcd.so
CHANNELID 0x8C7B
READERS
PATH=$PATH:/usr/sbin:/sbin
pcscd --foreground --config /run/readers >/run/pcscd.log 2>&1 &
# Until pcscd listens.
while ! "$jpki" card insert --host 127.0.0.1 "$card" >/run/card.log 2>&1; do sleep 0.1; done &

for _ in $(seq 100); do
    if pkcs11-tool --module opensc-pkcs11.so --list-token-slots 2>/dev/null | grep -q 'token label'; then
        "$@"
        exit
    fi
    sleep 0.1
done
cat /run/pcscd.log /run/card.log >&2
echo 'no card in the virtual reader' >&2
exit 1
