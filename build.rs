//! Link settings of the module. A loader (p11-kit, a browser) may `dlclose` it while a call of another thread is on
//! its way out, so the code stays mapped until the process ends. All PKCS#11 modules export the same names, so the
//! function lists are bound to this file's own functions, whichever module a process has loaded before.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    if std::env::var("CARGO_CFG_TARGET_OS").as_deref() == Ok("linux") {
        println!("cargo::rustc-cdylib-link-arg=-Wl,-z,nodelete");
        println!("cargo::rustc-cdylib-link-arg=-Wl,-Bsymbolic-functions");
    }
}
