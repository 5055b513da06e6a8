//! The practice card against its specification, `card.md`: scripts of commands and answers, certificates with OpenSSL as
//! the second opinion, the card file, the readers.

mod certificates;
mod fixture;
mod issue;
mod next;
mod readers;
mod scripts;
mod signatures;
mod store;
mod witness;
