//! The two key pairs of the application: the one word that every layer needs for which of a card's secrets it speaks of.

/// A key pair, with a secret of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Key {
    /// User authentication (利用者証明用).
    Authentication,
    /// Digital signature (署名用).
    Signature,
}

impl Key {
    /// Both, authentication first: the order in which their locks are taken.
    pub const ALL: [Key; 2] = [Key::Authentication, Key::Signature];

    /// The other one.
    pub fn other(self) -> Key {
        match self {
            Key::Authentication => Key::Signature,
            Key::Signature => Key::Authentication,
        }
    }
}
