#!/usr/bin/env bash
# From a practice card to a signature that OpenSSL verifies, without a reader: examples/demo.sh DIRECTORY, where the
# directory has the program and the module (target/release).
set -euo pipefail

built=$(cd "$1" && pwd)
cd "$(dirname "$0")/.."
out=out/demo
module=$built/libjpki_pkcs11.so

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

say "3. OpenSC's pkcs11-tool, which knows nothing of this project, signs a document through the module."
echo "Practice makes perfect." >"$out/document.txt"
tool=(pkcs11-tool --module "$module" --slot-index 1 --login --pin PRACTICE1 --id 02)
run "${tool[@]}" --sign --mechanism SHA256-RSA-PKCS --input-file "$out/document.txt" --output-file "$out/signature.bin"
run "${tool[@]}" --read-object --type cert --output-file "$out/certificate.der"

say "4. OpenSSL verifies the signature with the certificate's key."
run openssl x509 -inform DER -in "$out/certificate.der" -noout -pubkey -out "$out/public-key.pem"
run openssl dgst -sha256 -verify "$out/public-key.pem" -signature "$out/signature.bin" "$out/document.txt"

say "What happened: a practice card made a signature with the key that never leaves it, a program that nobody here wrote \
asked for it over PKCS #11, and another one found it good. The card, the document and the signature are in $out. \
Certificates of a practice card are of no use in real procedures."
say "Next, with your own card and a reader: install pcscd, run \"make build\" and \"sudo make install\", put the card in, \
and type \"jpki status\". It asks for no secret and uses up no try."
