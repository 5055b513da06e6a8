//! What the fuzz targets in `fuzz/` need of the module and a program must not have: C_Initialize over readers of their own
//! making. Only there under `--cfg fuzzing`, which cargo-fuzz sets.

use super::edge::{rv::Rv, table};
use super::state::module::Module;
use super::state::process;
use crate::config::Config;
use crate::transport::Readers;
use cryptoki_sys::{CK_FUNCTION_LIST_3_2, CK_RV};

/// C_Initialize under this configuration, its `tokens` as they are, with these readers. Ended by C_Finalize.
pub fn initialize(config: Config, readers: Box<dyn Readers>) -> CK_RV {
    let tokens = config.tokens;
    Rv::from(process::initialize_with(|_| Module::over(config, tokens, readers))).0
}

/// The 3.2 list: the functions as any program has them, pointers and all.
pub fn functions() -> &'static CK_FUNCTION_LIST_3_2 {
    &table::FUNCTIONS_3_2
}
