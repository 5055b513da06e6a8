//! The C edge: from the symbols and function lists that a program calls, by pointers made into values, to return values.

pub(crate) mod entry;
pub(crate) mod ffi;
pub(crate) mod guard;
pub(crate) mod rv;
pub(crate) mod table;
