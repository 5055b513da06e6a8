//! What a token shows: its objects, their attributes, and how they are found.

pub(crate) mod attribute;
pub(crate) mod finding;
pub(crate) mod object;
