//! Link settings of the module. A loader (p11-kit, a browser) may `dlclose` it while a call of another thread is on
//! its way out, so the code stays mapped until the process ends.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    if std::env::var("CARGO_CFG_TARGET_OS").as_deref() == Ok("linux") {
        println!("cargo::rustc-cdylib-link-arg=-Wl,-z,nodelete");
    }
}
