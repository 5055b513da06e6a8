#!/usr/bin/env bash
# From a practice card to a signature that OpenSSL verifies, without a reader: examples/demo.sh DIRECTORY, where the
# directory has the program and the module (target/release).
set -euo pipefail

built=$(cd "$1" && pwd)
cd "$(dirname "$0")/.."
out=out/demo
module=$PWD/$out/libjpki_pkcs11-sign.so

say() { printf '\n%s\n' "$*" | fold -s -w 100; }
run() { printf '\n$ %s\n' "$*"; "$@"; }

rm -rf "$out"
mkdir -p "$out"
umask 077

say "1. A practice card for a resident who does not exist. PIN 1234, signature password PRACTICE1."
run "$built/jpki" card new "$out/practice.card" --pin 1234 --password PRACTICE1

say "2. A configuration that puts the card into the module's own practice reader; real readers are left alone."
echo 'practice = ["practice.card"]' >"$out/config.toml"
export JPKI_PKCS11_CONF=$PWD/$out/config.toml
printf '\n$ export JPKI_PKCS11_CONF=%s\n' "$JPKI_PKCS11_CONF"
run "$built/jpki" status

say "3. GnuTLS's tools, which know nothing of this project, read the certificates through the module and sign a document. \
The module's file has the name under which it shows the signature token alone."
cp "$built/libjpki_pkcs11.so" "$module"
echo "Practice makes perfect." >"$out/document.txt"
# Where these tools take a password from, so that they need not ask.
export GNUTLS_PIN=PRACTICE1
printf '\n$ export GNUTLS_PIN=%s\n' "$GNUTLS_PIN"
read_certificate() { run p11tool --provider "$module" --login --export "pkcs11:id=$1;type=cert" --outfile "$2"; }
read_certificate %02 "$out/signer.pem"
read_certificate %04 "$out/authority.pem"
run certtool --provider "$module" --p7-detached-sign --hash SHA256 --load-privkey "pkcs11:id=%02;type=private" \
    --load-certificate "$out/signer.pem" --infile "$out/document.txt" --outfile "$out/signature.p7s"

say "4. OpenSSL verifies the signature over the document, and the signer's certificate with the practice authority's."
run openssl cms -verify -inform PEM -in "$out/signature.p7s" -binary -content "$out/document.txt" \
    -CAfile "$out/authority.pem" -out "$out/verified.txt"

say "What happened: a practice card made a signature with the key that never leaves it, a program that nobody here wrote \
asked for it over PKCS #11, and another one found it good. The card, the document and the signature are in $out. \
Certificates of a practice card are of no use in real procedures."
say "Next, with your own card and a reader: install pcscd, run \"make build\" and \"sudo make install\", put the card in, \
and type \"jpki status\". It asks for no secret and uses up no try."
