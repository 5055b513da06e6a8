//! PKCS#11 provider for the key pairs of Japan's public personal authentication service (JPKI), on the My Number Card and
//! its relatives; with the holder's program `jpki` and a practice card.
//!
//! # Layers
//!
//! Each imports those above it only, and exactly these; `tests/layering.rs` reads this table and the source. Inside a layer,
//! files and folders that stand side by side import one way.
//!
//! ```text
//! apdu:
//! key:
//! secret:
//! sys:
//! text:
//! tlv:
//! words:
//! config:      sys text
//! logging:     text
//! transport:   apdu sys
//! logins:      key sys transport
//! cert:        text words
//! card:        apdu key logins secret sys tlv transport
//! emulator:    apdu sys transport
//! readers:     config emulator transport
//! pkcs11:      card cert config logging logins readers secret sys text transport
//! cli:         apdu card cert config emulator logging logins readers secret sys text tlv transport words
//! ```
//!
//! * [`card`] speaks the applet's commands and knows no certificate; [`cert`] reads certificates and knows no card.
//! * [`emulator`] is the practice card. It never imports `card`: that both have a constant right is worth something only if
//!   each took it from the specification.
//! * [`pkcs11`] is what a program loads. It knows no network, starts no process and prints nothing. [`cli`] never imports
//!   it. Its rooms, and the floors of the files in them, stand on its own page.
//! * Unsafe code is in [`sys`] (system calls) and at the C edge, `pkcs11/edge/ffi` (pointers) and `pkcs11/edge/entry`
//!   (the extern functions and symbols), and denied elsewhere. Private keys exist in `emulator` alone.
//!
//! # Sources
//!
//! "§5.6.4" alone is PKCS#11 3.0. The others are in the repository's `docs`: `card.md` is what is known of the card, and how
//! surely, `design.md` what was decided and why, `clients.md` what programs do with a module, `words.md` what may be said. A
//! fact taken from one of them names its section, and `tests/documents.rs` sees that it is there.
//!
//! # Words used everywhere
//!
//! A *reader* is two *slots*, because the applet has two secrets and a PKCS#11 token has one: authentication (even ids) and
//! signature (odd ids). A *link* is a connection to a card; a *transaction* is the card to ourselves. An *epoch* is one
//! stay of one card in one reader: sessions, logins and handles belong to an epoch and end with it.
//!
//! # How a call reaches the card
//!
//! `C_Sign` → a row of `pkcs11/edge/table.rs` → `entry` behind `guard` (a panic becomes CKR_GENERAL_ERROR) → `ffi` makes
//! slices → `process::current()` clones the module's `Arc` → `sessions` finds the session and compares its epoch, before
//! anything is said of the other arguments → `signing/sign.rs` settles the length, then *takes* the operation, so that it
//! ends whatever happens → `cards::with_card` holds the reader → [`card::Card::sign`]: one APDU if nobody came between → the
//! signature is checked with the certificate's key (`signing/verify.rs`) → `ffi` writes it.
//!
//! # Locks
//!
//! In this order, and none held while waiting for an earlier one. Debug builds assert it of those that
//! `pkcs11/state/lock.rs` makes, which are all but the first, the table of readers and the closing flag.
//!
//! 1. the process's `RwLock` around the module, only for as long as it takes to clone the `Arc`;
//! 2. a session's operations, for the call;
//! 3. a reader's connection, while a card is talked to: a card that keeps silent holds up its own reader's calls only;
//! 4. `looking`, while the readers' presence is asked for, which waits for no card; nobody waits for it longer than until the
//!    look of another thread is a second old;
//! 5. the table of sessions, with which in hand it is decided that a login has none left;
//! 6. leaves, held for no I/O and no other lock: the tables of slots, readers and waiters, a token's state, the closing
//!    flag.
//!
//! The records by which processes count a card's logins ([`logins`]) are waited for before a reader's connection is taken,
//! no longer than `lock_timeout`, and only tried while that is held; authentication's before the signature's.
//!
//! # Decisions that the code alone does not tell
//!
//! * **No thread of ours.** Presence is asked for by the calls that concern a slot; C_WaitForSlotEvent blocks its caller. The
//!   one exception lives for two seconds at most, when a process ends without C_Finalize (`pkcs11/state/exit.rs`).
//! * **Optimism where it costs nothing.** A query, a READ or a signature is sent without a SELECT on the belief that the
//!   application is still selected; an answer that the application would not give leads to SELECT AID and a second try.
//!   VERIFY and CHANGE are never sent so: they exist inside [`card::Card::session`] only, and no layer repeats them.
//! * **The card does not tell who is logged in,** so PKCS#11's own state is the truth, and it becomes public *before* a
//!   caller hears CKR_USER_NOT_LOGGED_IN. The one secret ever sent without a person typing it is the authentication PIN of
//!   this very login, under the conditions of `pkcs11/signing/sign.rs`, `regain`.
//! * **A logout that logs out.** The verified state outlives disconnecting and resets, so the last login among this user's
//!   processes selects another application when it ends. The strong login never yields to the weak one: a signature login
//!   that ends takes the card's state from authentication logins, which regain it. A login that nobody ended (a process that
//!   was killed, a card that could not be reached) has left a mark, and whoever looks at the card next pays ([`logins`]).
//! * **A secret that was refused is not sent again,** by any process of this user, unless the counter says that it may have
//!   been set anew; and a held PIN is not presented after a change by any of them ([`logins`]).
//! * **Four files of one code.** The module knows its file name: `…-auth` and `…-sign` show one token each, since a browser
//!   shown both asks for the signature password and could send name and address to any server; `…-ssh` is a second name for
//!   what `…-auth` shows. OpenSSH, kinit and others take each certificate of a token for one of the holder's, so `…-auth`
//!   shows the authority's never and `…-sign` after a login. Names of links count as well, and an unknown name shows the
//!   authentication token only (`pkcs11/state/view.rs`).
//! * **A connection is kept until C_Finalize,** also by a process that is not logged in, although pcscd would cut the power of
//!   a card that nobody has open, and with it what a killed program left open. Given up with the last session, it costs three
//!   APDUs each time it is needed again: GnuTLS's `p11tool --list-all-certs`, which opens a session for each step, takes 33
//!   APDUs for 12. And a browser would not give it up, for NSS keeps a session with each token to its end.
//! * **The card is everybody's.** Who waits for it looks ten times a second, libpcsclite and pcscd alike, and would miss the
//!   moments between the transactions of a busy signer: after three seconds without a gap a connection leaves one
//!   (`transport/pcsc/turns.rs`).
//! * **Fork.** A child knows that it is another process (`sys/process.rs`: a page that the system wipes, since numbers come
//!   twice) and leaves its parent's state alone, locks included: it is uninitialised until it calls C_Initialize, and what it
//!   inherited is leaked, for closing it would reset the parent's card; but the locks by which logins are counted it closes
//!   at once (`sys/descriptors.rs`). A fork waits for the moments in which libpcsclite holds its own lock, and neither it nor
//!   a call for longer than a second (`transport/pcsc/fork.rs`).
//! * **A thread is not cancelled inside a call.** It would be unwound out of libpcsclite with locks in its hands.
//!   C_WaitForSlotEvent waits in parts, between which it may be (`pkcs11/edge/entry.rs`).
//! * **Memory is wiped as it is given back** (`sys/wiping.rs`), so that a name and an address do not outlive the login in the
//!   memory of a program. A program that links this crate has its heap wiped, too, and can have no allocator of its own.
//! * **The end of the process.** libpcsclite frees its table of contexts as the process ends, beside threads that look into
//!   it: this library's end comes before and lets no other thread begin a call (`transport/pcsc/fork.rs`).
//! * **Nothing is cached on disk** but what a card was found unable to do (`card/abilities.rs`), who is logged in, and which
//!   change of a secret was the last ([`logins`]); none of it is about a person. What was refused is kept in memory only
//!   (tmpfs).

pub mod apdu;
pub mod card;
pub mod cert;
#[cfg(feature = "cli")]
pub mod cli;
pub mod config;
#[cfg(feature = "practice")]
pub mod emulator;
pub mod key;
pub mod logging;
pub mod logins;
pub mod pkcs11;
pub mod readers;
pub mod secret;
pub mod sys;
pub mod text;
pub mod tlv;
pub mod transport;
pub mod words;
