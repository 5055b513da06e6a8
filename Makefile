# make demo       a practice card signs a document and OpenSSL verifies it; no reader, no card
# make test       all tests, with what they need installed
# make conformance  pkcs11-check against the module on a practice card, and docs/conformance.md of what it found
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
TEST_PACKAGES := $(DEMO_PACKAGES) iproute2 opensc-pkcs11 p11-kit-modules pcscd procps util-linux vsmartcard-vpcd

MODULE := libjpki_pkcs11.so
# What each shows depends on its name: both tokens, the authentication token, the signature token.
MODULES := libjpki_pkcs11.so libjpki_pkcs11-auth.so libjpki_pkcs11-sign.so

.PHONY: build setup demo test conformance bench lint install uninstall

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

lint:
	.ci/install $(BUILD_PACKAGES)
	$(CARGO) fmt --check
	$(CARGO) clippy --locked --all-targets -- -D warnings
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
