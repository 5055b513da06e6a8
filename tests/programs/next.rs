//! Both generations of cards in two readers at once: today's in the first, what may be the next in the second. What a program
//! does with a key that is not RSA, and that it goes on doing what it did with the one that is.

mod firefox;
mod gnutls;
mod java;
mod nss;
mod openssl;
mod pkcs11_tool;
mod ssh;

use crate::cost::{self, Cost};
use crate::ground::{Card, Ground, with_ground};
use crate::tls::{Server, Version, admitted_by};

/// The two cards, of two holders.
struct Both<'a> {
    ground: &'a Ground<'a>,
    today: Card,
    next: Card,
}

/// Runs `body`, which is all that the test `name` does, as [`with_ground`].
fn with_both(name: &str, body: impl FnOnce(&Both<'_>)) {
    with_ground(&format!("next::{name}"), |ground| {
        let both = Both { ground, today: ground.card(), next: ground.next_card() };
        assert_ne!(both.today.auth_token(), both.next.auth_token(), "a program can tell them apart");
        body(&both);
        assert_eq!((both.today.tries(), both.next.tries()), ((3, 5), (3, 5)));
    });
}

impl Both<'_> {
    /// Runs `work` with both newly inserted, takes them out, and says what that cost each.
    fn with_inserted<R>(&self, work: impl FnOnce() -> R) -> (R, [Cost; 2]) {
        let cards = [&self.today, &self.next];
        let before = cards.map(Card::cost);
        let inserted = [0, 1].map(|reader| self.ground.pcscd.insert_into(reader, &cards[usize::from(reader)].file));
        let done = work();
        inserted.into_iter().for_each(|card| self.ground.pcscd.remove(card));
        let of = |at: usize| {
            let after = cards[at].cost();
            Cost { apdus: after.apdus - before[at].apdus, verifies: after.verifies - before[at].verifies }
        };
        (done, [of(0), of(1)])
    }

    /// Runs a program's action on the next card, and notes what that costs it for the table in `docs/programs/costs.md`.
    /// Today's card, beside it, is asked for no secret.
    fn measure<R>(&self, program: &str, what: &str, verifies: usize, action: impl FnOnce() -> R) -> R {
        let (done, [today, next]) = self.with_inserted(action);
        cost::note_alone(program, &format!("{what}, practice kind `next`"), next);
        assert_eq!((today.verifies, next.verifies), (0, verifies), "{program}: {what}");
        done
    }

    /// A server that admits the next card's authentication certificate.
    fn server(&self, version: Version) -> Server {
        Server::start(&self.ground.scratch, version, self.next.auth_ca())
    }
}

/// Asserts that a server has let in a client by the next card's signature.
fn assert_admitted(page: &str, version: Version, server: &Server) {
    assert_eq!(admitted_by(page, version), Some("ECDSA"), "{page}\n{}", server.log());
    assert!(page.contains("ASN1 OID: secp384r1") && page.contains("C=JP, CN=PRACTICE"), "{page}");
}
