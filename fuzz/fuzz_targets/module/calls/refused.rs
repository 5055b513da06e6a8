//! What is refused, and C_LoginUser.

use super::*;

impl Program {
    pub fn others(&mut self) {
        let (session, object) = (self.session(), self.object());
        let rows = self.template();
        let mut rows: Vec<CK_ATTRIBUTE> = rows.iter().map(|(type_, value)| row(*type_, value)).collect();
        let (start, count) = (rows.as_mut_ptr(), rows.len() as CK_ULONG);
        let mut made = 0;
        match self.byte() {
            byte @ 0xE0.. => return self.others_of_3_2(session, object, byte),
            byte => match byte % 5 {
                0 => self.call("C_CreateObject", None, None, |list| unsafe {
                    list.C_CreateObject.unwrap()(session, start, count, &mut made)
                }),
                1 => self.call("C_CopyObject", None, None, |list| unsafe {
                    list.C_CopyObject.unwrap()(session, object, start, count, &mut made)
                }),
                2 => self.call("C_DestroyObject", None, None, |list| unsafe {
                    list.C_DestroyObject.unwrap()(session, object)
                }),
                3 => self.call("C_SetAttributeValue", None, None, |list| unsafe {
                    list.C_SetAttributeValue.unwrap()(session, object, start, count)
                }),
                _ => {
                    let mut secret = self.secret(session).unwrap_or_default();
                    let mut name = self.bytes(1);
                    self.call("C_LoginUser", Some(&secret.clone()), None, |list| unsafe {
                        let (secret_len, name_len) = (secret.len() as CK_ULONG, name.len() as CK_ULONG);
                        list.C_LoginUser.unwrap()(
                            session,
                            CKU_USER,
                            secret.as_mut_ptr(),
                            secret_len,
                            name.as_mut_ptr(),
                            name_len,
                        )
                    })
                }
            },
        };
    }

    /// What PKCS#11 3.2 has added beside verifying: refused, and nothing written.
    fn others_of_3_2(&mut self, session: CK_SESSION_HANDLE, object: CK_OBJECT_HANDLE, which: u8) {
        let (mechanism, parameter) = self.mechanism();
        let mut mechanism = raw_mechanism(mechanism, &parameter);
        let rows = self.template();
        let mut rows: Vec<CK_ATTRIBUTE> = rows.iter().map(|(type_, value)| row(*type_, value)).collect();
        let (template, count) = (rows.as_mut_ptr(), rows.len() as CK_ULONG);
        let mut bytes = vec![PATTERN; usize::from(self.byte())];
        let (start, len) = (bytes.as_mut_ptr(), bytes.len() as CK_ULONG);
        let (mut length, mut made, mut flags) = (len, 0, 0);
        let mut result =
            CK_ASYNC_DATA { ulVersion: 0, pValue: null_mut(), ulValue: 0, hObject: 0, hAdditionalObject: 0 };
        let name = c"C_Sign".as_ptr().cast_mut().cast();
        let kind = CK_ULONG::from(which & 3);
        let rv = match which % 8 {
            0 => self.call("C_EncapsulateKey", None, None, |list| unsafe {
                let function = list.C_EncapsulateKey.unwrap();
                function(session, &mut mechanism, object, template, count, start, &mut length, &mut made)
            }),
            1 => self.call("C_DecapsulateKey", None, None, |list| unsafe {
                let function = list.C_DecapsulateKey.unwrap();
                function(session, &mut mechanism, object, template, count, start, len, &mut made)
            }),
            2 => self.call("C_WrapKeyAuthenticated", None, None, |list| unsafe {
                let function = list.C_WrapKeyAuthenticated.unwrap();
                function(session, &mut mechanism, object, object, start, len, start, &mut length)
            }),
            3 => self.call("C_UnwrapKeyAuthenticated", None, None, |list| unsafe {
                let function = list.C_UnwrapKeyAuthenticated.unwrap();
                function(session, &mut mechanism, object, start, len, template, count, start, len, &mut made)
            }),
            4 => self.call("C_AsyncComplete", None, None, |list| unsafe {
                list.C_AsyncComplete.unwrap()(session, name, &mut result)
            }),
            5 => self.call("C_AsyncGetID", None, None, |list| unsafe {
                list.C_AsyncGetID.unwrap()(session, name, &mut length)
            }),
            6 => self.call("C_AsyncJoin", None, None, |list| unsafe {
                list.C_AsyncJoin.unwrap()(session, name, kind, start, len)
            }),
            _ => {
                let rv = self.call("C_GetSessionValidationFlags", None, None, |list| unsafe {
                    list.C_GetSessionValidationFlags.unwrap()(session, kind, &mut flags)
                });
                must!(rv != CKR_OK || kind == CKS_LAST_VALIDATION_OK, "C_GetSessionValidationFlags: {kind}");
                rv
            }
        };
        must!(rv != CKR_OK || which % 8 == 7, "a function that is not offered: {which}");
        must!((length, made, flags) == (len, 0, 0), "a function that is not offered writes: {which}");
        must!(bytes.iter().all(|&byte| byte == PATTERN), "a function that is not offered writes bytes: {which}");
    }
}
