//! Signs a document with the signature key of the card, as any program does that uses the `cryptoki` crate:
//! `sign MODULE DOCUMENT SIGNATURE`. It reads the signature password from its standard input.

use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::mechanism::Mechanism;
use cryptoki::object::{Attribute, ObjectClass};
use cryptoki::session::UserType;
use cryptoki::types::AuthPin;
use std::error::Error;
use std::path::Path;
use std::{env, fs, io};

/// The signature of `document`, by CKM_SHA256_RSA_PKCS.
pub fn sign(module: &Path, password: &str, document: &[u8]) -> Result<Vec<u8>, Box<dyn Error>> {
    let module = Pkcs11::new(module)?;
    module.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK))?;
    let slot = *module.get_slots_with_token()?.first().ok_or("there is no card")?;

    let session = module.open_ro_session(slot)?;
    session.login(UserType::User, Some(&AuthPin::new(password.into())))?;
    let keys = session.find_objects(&[Attribute::Class(ObjectClass::PRIVATE_KEY)])?;
    let key = *keys.first().ok_or("there is no key")?;
    let signature = session.sign(&Mechanism::Sha256RsaPkcs, key, document)?;
    session.close()?;

    // Logs out, on the card as well.
    module.finalize()?;
    Ok(signature)
}

fn main() -> Result<(), Box<dyn Error>> {
    let [module, document, signature] = &env::args().skip(1).collect::<Vec<_>>()[..] else {
        return Err("usage: sign MODULE DOCUMENT SIGNATURE".into());
    };
    let password = io::read_to_string(io::stdin())?;
    fs::write(signature, sign(Path::new(module), password.trim_end(), &fs::read(document)?)?)?;
    Ok(())
}
