//! What the process knows between C_Initialize and C_Finalize, and the calls that ask for it or change it.

pub(crate) mod cards;
pub(crate) mod events;
pub(crate) mod exit;
pub(crate) mod lock;
pub(crate) mod login;
pub(crate) mod looking;
pub(crate) mod module;
pub(crate) mod present;
pub(crate) mod process;
pub(crate) mod reader;
pub(crate) mod refusals;
pub(crate) mod session;
pub(crate) mod sessions;
pub(crate) mod slot_info;
pub(crate) mod slots;
pub(crate) mod token;
pub(crate) mod view;
pub(crate) mod wait;
