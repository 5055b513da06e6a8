//! Verifying, with the signature given last and given first: both must say the same.

use super::*;

impl Program {
    pub fn verify(&mut self) {
        let (session, key) = (self.session(), self.object());
        let (mechanism, parameter) = self.mechanism();
        let mut raw = raw_mechanism(mechanism, &parameter);
        self.call("C_VerifyInit", None, None, |list| unsafe { list.C_VerifyInit.unwrap()(session, &mut raw, key) });
        let mut data = self.data();
        let len = data.len() as CK_ULONG;
        let mut signature = match self.byte() {
            byte @ 0..0x60 => vec![byte; 128],
            byte @ 0x60..0x80 => vec![byte; 256],
            byte => self.bytes(usize::from(byte)),
        };
        let signature_len = signature.len() as CK_ULONG;
        let ways = self.byte();
        let last = if ways & 1 == 0 {
            self.call("C_Verify", None, None, |list| unsafe {
                list.C_Verify.unwrap()(session, data.as_mut_ptr(), len, signature.as_mut_ptr(), signature_len)
            })
        } else {
            self.call("C_VerifyUpdate", None, None, |list| unsafe {
                list.C_VerifyUpdate.unwrap()(session, data.as_mut_ptr(), len)
            });
            self.call("C_VerifyFinal", None, None, |list| unsafe {
                list.C_VerifyFinal.unwrap()(session, signature.as_mut_ptr(), signature_len)
            })
        };
        if ways & 2 == 0 {
            let (rv, first) = self.verify_signature_first(session, key, &mut raw, &data, signature, ways);
            if rv == CKR_OK && matches!(last, CKR_OK | CKR_SIGNATURE_INVALID | CKR_DATA_LEN_RANGE) {
                must!(first == last, "C_VerifySignature: {first:#x}, and C_Verify {last:#x}");
            }
        }
        if ways & 16 == 0 {
            self.verify_what_was_signed(session, key, ways);
        }
    }

    /// The last signature that came out is one for these functions, too, if this is its key.
    fn verify_what_was_signed(&mut self, session: CK_SESSION_HANDLE, key: CK_OBJECT_HANDLE, ways: u8) {
        let Some(Signed { mechanism, modulus, message, signature }) = self.signed.clone() else { return };
        let (_, values) = self.ask(session, key, &[(CKA_MODULUS, Some(512))]);
        if values[0] != Some(modulus) {
            return;
        }
        let parameter = right_parameter(mechanism);
        let mut raw = raw_mechanism(mechanism, &parameter);
        let (rv, end) = self.verify_signature_first(session, key, &mut raw, &message, signature, ways);
        must!(rv != CKR_OK || end == CKR_OK, "C_VerifySignature: {end:#x} of what C_Sign made");
    }

    /// The same with the signature given first, and its memory taken away before the data come; what C_VerifySignatureInit
    /// answered, and what the last of the others.
    fn verify_signature_first(
        &mut self,
        session: CK_SESSION_HANDLE,
        key: CK_OBJECT_HANDLE,
        mechanism: &mut CK_MECHANISM,
        data: &[u8],
        mut signature: Vec<u8>,
        ways: u8,
    ) -> (CK_RV, CK_RV) {
        let mut data = data.to_vec();
        let (len, signature_len) = (data.len() as CK_ULONG, signature.len() as CK_ULONG);
        let rv = self.call("C_VerifySignatureInit", None, None, |list| unsafe {
            list.C_VerifySignatureInit.unwrap()(session, mechanism, key, signature.as_mut_ptr(), signature_len)
        });
        drop(signature);
        if ways & 4 != 0 {
            // Functions for the other kind of operation, which find none.
            let other = self.call("C_VerifyUpdate", None, None, |list| unsafe {
                list.C_VerifyUpdate.unwrap()(session, data.as_mut_ptr(), len)
            });
            must!(rv != CKR_OK || other != CKR_OK, "C_VerifyUpdate goes on with C_VerifySignatureInit's operation");
        }
        let end = if ways & 8 == 0 {
            self.call("C_VerifySignature", None, None, |list| unsafe {
                list.C_VerifySignature.unwrap()(session, data.as_mut_ptr(), len)
            })
        } else {
            self.call("C_VerifySignatureUpdate", None, None, |list| unsafe {
                list.C_VerifySignatureUpdate.unwrap()(session, data.as_mut_ptr(), len)
            });
            self.call("C_VerifySignatureFinal", None, None, |list| unsafe {
                list.C_VerifySignatureFinal.unwrap()(session)
            })
        };
        let again = self.call("C_VerifySignatureFinal", None, None, |list| unsafe {
            list.C_VerifySignatureFinal.unwrap()(session)
        });
        must!(again != CKR_OK, "C_VerifySignatureFinal: an operation that has ended");
        (rv, end)
    }
}
