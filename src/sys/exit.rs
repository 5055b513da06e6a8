//! What is to happen when this process ends by `exit` or by a return from `main`.

/// Has `handler` called then, after the handlers that are registered later and before libraries are taken down; once for
/// each call of this. A process that ends otherwise (a signal, `_exit`) calls nobody. A forked child inherits it.
///
/// # Errors
/// There is no memory.
pub fn at_exit(handler: extern "C" fn()) -> std::io::Result<()> {
    // SAFETY: the handler takes nothing and stays loaded: the module is linked with `-z nodelete`, a program never leaves.
    match unsafe { libc::atexit(handler) } {
        0 => Ok(()),
        _ => Err(std::io::ErrorKind::OutOfMemory.into()),
    }
}
