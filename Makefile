# make demo       a practice card signs a document and OpenSSL verifies it; no reader, no card
# make test       all tests, with what they need installed
# make conformance  pkcs11-check against the module on a practice card, and docs/conformance.md of what it found
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

BUILD_PACKAGES := gcc libc6-dev libpcsclite-dev make pkg-config
DEMO_PACKAGES := $(BUILD_PACKAGES) opensc openssl
TEST_PACKAGES := $(DEMO_PACKAGES) iproute2 opensc-pkcs11 p11-kit-modules pcscd procps util-linux valgrind \
	vsmartcard-vpcd

FUZZ_PACKAGES := $(BUILD_PACKAGES) g++

# The fuzzer's sanitizer flags are for nightly compilers, unless a stable one is told otherwise.
FUZZ := RUSTC_BOOTSTRAP=1 $(CARGO) fuzz
FUZZ_TARGETS ?= apdu certificate config image module template tlv
FUZZ_TIME ?= 600
# Seconds a target, some of which the start takes.
SMOKE_TIME ?= 8

MODULE := libjpki_pkcs11.so
# What each shows depends on its name: both tokens, the authentication token, the signature token.
MODULES := libjpki_pkcs11.so libjpki_pkcs11-auth.so libjpki_pkcs11-sign.so

.PHONY: build setup demo test conformance bench fuzz fuzz-setup fuzz-smoke lint install uninstall

build:
	.ci/install $(BUILD_PACKAGES)
	$(CARGO) build --release --locked

setup:
	.ci/install $(TEST_PACKAGES)

demo:
	.ci/install $(DEMO_PACKAGES)
	$(CARGO) build --release --locked
	examples/demo.sh target/release

test: setup
	$(CARGO) test --locked

conformance:
	.ci/install $(BUILD_PACKAGES)
	$(CARGO) build --release --locked
	tests/conformance/run

bench: setup
	$(CARGO) bench --locked

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
	.ci/install $(FUZZ_PACKAGES)
	$(CARGO) fuzz --version >/dev/null 2>&1 || $(CARGO) install cargo-fuzz --locked --version 0.13.1

lint:
	.ci/install $(BUILD_PACKAGES)
	$(CARGO) fmt --check
	$(CARGO) clippy --locked --all-targets -- -D warnings
	$(CARGO) clippy --locked --lib --no-default-features -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --locked --no-deps
	$(CARGO) deny --version >/dev/null 2>&1 || $(CARGO) install cargo-deny --locked
	$(CARGO) deny --locked check licenses bans sources

# Copies, not links: the dynamic loader takes links to one file for one module, under the name it met first.
install: target/release/$(MODULE)
	$(INSTALL) -d $(addprefix $(DESTDIR),$(bindir) $(moduledir) $(docdir) $(p11kitdir))
	$(INSTALL) -m 755 target/release/jpki $(DESTDIR)$(bindir)/jpki
	for module in $(MODULES); do \
		$(INSTALL) -m 644 target/release/$(MODULE) "$(DESTDIR)$(moduledir)/$$module" || exit 1; \
	done
	$(INSTALL) -m 644 pkcs11-conf/config.toml $(DESTDIR)$(docdir)/config.toml
	sed 's|@moduledir@|$(moduledir)|' pkcs11-conf/jpki-pkcs11.module.in \
		| $(INSTALL) -m 644 /dev/stdin $(DESTDIR)$(p11kitdir)/jpki-pkcs11.module

target/release/$(MODULE):
	@echo "Build it first, as yourself: make build" >&2; exit 1

uninstall:
	rm -f $(DESTDIR)$(bindir)/jpki $(DESTDIR)$(p11kitdir)/jpki-pkcs11.module $(DESTDIR)$(docdir)/config.toml
	rm -f $(addprefix $(DESTDIR)$(moduledir)/,$(MODULES))
	-rmdir $(DESTDIR)$(docdir)
