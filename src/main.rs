//! The card holder's program.

fn main() {}
