# make demo       a practice card signs a document and OpenSSL verifies it; no reader, no card
# make test       all tests, with what they need installed
# make test-clients  browsers, OpenSSL, ssh, Java and the others, each driven with a practice card
# make conformance  pkcs11-check against the module on a practice card, and docs/conformance.md of what it found
# make bare       the module without features: its size, and the libraries it needs
# make fuzz       fuzzing, FUZZ_TIME seconds a target; FUZZ_TARGETS says which
# make fuzz-smoke the same for a minute in all
# make install    the module, the program and p11-kit's file, under PREFIX

CARGO ?= cargo
INSTALL ?= install

PREFIX ?= /usr/local
bindir ?= $(PREFIX)/bin
libdir ?= $(PREFIX)/lib
docdir ?= $(PREFIX)/share/doc/jpki-pkcs11
# Below /usr/lib* and /usr/local/lib*, from where alone ssh-agent loads modules.
moduledir ?= $(libdir)/pkcs11
# Where p11-kit looks, whatever our own prefix is.
p11kitdir ?= $(or $(shell pkg-config --variable=p11_module_configs p11-kit-1 2>/dev/null),/usr/share/p11-kit/modules)

# Before a package is installed, whether there is a toolchain to build with.
PACKAGES := .ci/toolchain "$(CARGO)" && .ci/install

BUILD_PACKAGES := gcc libc6-dev libpcsclite-dev make pkg-config
# Nothing that would stay registered with p11-kit, or begin a service.
DEMO_PACKAGES := $(BUILD_PACKAGES) gnutls-bin openssl
TEST_PACKAGES := $(DEMO_PACKAGES) iproute2 libnss3-tools opensc opensc-pkcs11 openssh-client p11-kit p11-kit-modules pcscd \
	procps util-linux valgrind vsmartcard-vpcd
# The programs people use, one's a line; the versions tested are those of the Debian release.
CLIENT_PACKAGES := $(TEST_PACKAGES) \
	chromium \
	curl libengine-pkcs11-openssl mmdebstrap \
	firefox-esr imagemagick xdotool xvfb \
	git openssh-server \
	gnutls-bin \
	golang-go \
	libbcpkix-java libcommons-logging-java libpdfbox2-java openjdk-17-jdk-headless \
	libnss3-dev \
	libpam-pkcs11 pamtester \
	libxmlsec1-dev libxmlsec1-nss libxmlsec1-openssl xmlsec1 \
	poppler-utils \
	python3-venv

FUZZ_PACKAGES := $(BUILD_PACKAGES) g++

# The fuzzer's sanitizer flags are for nightly compilers, unless a stable one is told otherwise.
FUZZ := RUSTC_BOOTSTRAP=1 $(CARGO) fuzz
FUZZ_TARGETS ?= apdu certificate config image key module report template tlv
FUZZ_TIME ?= 600
# Seconds a target, some of which the start takes.
SMOKE_TIME ?= 8

MODULE := libjpki_pkcs11.so
# What each shows depends on its name: both tokens, the authentication token, the signature token, the authentication
# token again.
MODULES := libjpki_pkcs11.so libjpki_pkcs11-auth.so libjpki_pkcs11-sign.so libjpki_pkcs11-ssh.so
# What `make install` installs; the tests install what they have built.
BUILT := $(or $(CARGO_TARGET_DIR),target)/release
BARE := $(or $(CARGO_TARGET_DIR),target)/bare
BUILT_MODULE ?= $(BUILT)/$(MODULE)
BUILT_PROGRAM ?= $(BUILT)/jpki
# Each program's configuration; in those that end in .in, @moduledir@ and @docdir@ are filled in.
CONF := $(wildcard pkcs11-conf/*)

.PHONY: build setup demo test setup-clients test-clients conformance bench bare fuzz fuzz-setup fuzz-smoke lint install uninstall

build:
	$(PACKAGES) $(BUILD_PACKAGES)
	$(CARGO) build --release --locked

setup:
	$(PACKAGES) $(TEST_PACKAGES)

demo:
	$(PACKAGES) $(DEMO_PACKAGES)
	$(CARGO) build --release --locked
	examples/demo.sh "$(BUILT)"

test: setup
	$(CARGO) test --locked

setup-clients:
	$(PACKAGES) $(CLIENT_PACKAGES)
	tests/programs/setup

test-clients: setup-clients
	rm -rf target/programs/costs
	$(CARGO) test --locked --test programs
	tests/programs/table

conformance:
	$(PACKAGES) $(BUILD_PACKAGES)
	$(CARGO) build --release --locked
	tests/conformance/run

bench: setup
	$(CARGO) bench --locked

# Beside the module with features, not in its place.
bare:
	$(PACKAGES) $(BUILD_PACKAGES)
	$(CARGO) build --release --locked --lib --no-default-features --target-dir "$(BARE)"
	.ci/bare "$(BARE)/release/$(MODULE)"

fuzz: fuzz-setup
	@set -e; for target in $(FUZZ_TARGETS); do \
		$(FUZZ) run "$$target" -- -max_total_time=$(FUZZ_TIME) -max_len=4096 -timeout=60 -rss_limit_mb=2048; \
	done

# What was found before is replayed first: the corpus whole, then new inputs from a copy of it.
fuzz-smoke: fuzz-setup
	$(FUZZ) build
	@set -e; for target in $(FUZZ_TARGETS); do \
		corpus=$$(mktemp -d); \
		$(FUZZ) run "$$target" "$$corpus" "fuzz/corpus/$$target" -- -max_total_time=$(SMOKE_TIME) -timeout=60; \
		rm -rf "$$corpus"; \
	done

fuzz-setup:
	$(PACKAGES) $(FUZZ_PACKAGES)
	$(CARGO) fuzz --version >/dev/null 2>&1 || $(CARGO) install cargo-fuzz --locked --version 0.13.1

lint:
	$(PACKAGES) $(BUILD_PACKAGES)
	$(CARGO) fmt --check
	$(CARGO) clippy --locked --all-targets -- -D warnings
	$(CARGO) clippy --locked --test programs -- -D warnings
	$(CARGO) clippy --locked --lib --no-default-features -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --locked --no-deps
	$(CARGO) deny --version >/dev/null 2>&1 || $(CARGO) install cargo-deny --locked --version 0.20.2
	$(CARGO) deny --locked check licenses bans sources

# Copies, not links: the dynamic loader takes links to one file for one module, under the name it met first.
install:
	@test -f "$(BUILT_MODULE)" || { echo "Build it first, as yourself: make build" >&2; exit 1; }
	$(INSTALL) -d "$(DESTDIR)$(bindir)" "$(DESTDIR)$(moduledir)" "$(DESTDIR)$(docdir)" "$(DESTDIR)$(p11kitdir)"
	$(INSTALL) -m 755 "$(BUILT_PROGRAM)" "$(DESTDIR)$(bindir)/jpki"
	for module in $(MODULES); do \
		$(INSTALL) -m 644 "$(BUILT_MODULE)" "$(DESTDIR)$(moduledir)/$$module" || exit 1; \
	done
	for conf in $(CONF); do \
		sed 's|@moduledir@|$(moduledir)|g; s|@docdir@|$(docdir)|g' "$$conf" \
			| $(INSTALL) -m 644 /dev/stdin "$(DESTDIR)$(docdir)/$$(basename "$$conf" .in)" || exit 1; \
	done
	mv "$(DESTDIR)$(docdir)/jpki-pkcs11.module" "$(DESTDIR)$(p11kitdir)/jpki-pkcs11.module"

uninstall:
	rm -f "$(DESTDIR)$(bindir)/jpki" "$(DESTDIR)$(p11kitdir)/jpki-pkcs11.module"
	for conf in $(notdir $(CONF)); do rm -f "$(DESTDIR)$(docdir)/$${conf%.in}" || exit 1; done
	for module in $(MODULES); do rm -f "$(DESTDIR)$(moduledir)/$$module" || exit 1; done
	-rmdir "$(DESTDIR)$(docdir)"
