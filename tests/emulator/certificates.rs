//! The practice certificates: production's structure in production's order, with OpenSSL as the second opinion.

use crate::fixture::{card, data, directory, image, order, send};
use der::oid::db::DB;
use der::{Decode, DecodePem, Encode};
use jpki_pkcs11::emulator::image::Kind;
use jpki_pkcs11::emulator::issue::{self, Order};
use jpki_pkcs11::emulator::resident::{Birth, Era, Resident, Sex, Written};
use std::fs;
use std::path::Path;
use std::process::Command;
use tempfile::TempDir;
use x509_cert::Certificate;
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::ext::pkix::{CertificatePolicies, IssuerAltName, SubjectAltName};

fn openssl(arguments: &[&str]) -> (bool, String) {
    let output = Command::new("openssl").args(arguments).output().expect("openssl is needed for these tests");
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(text).unwrap())
}

fn write(pems: &[(&str, &Option<String>)]) -> TempDir {
    let directory = directory();
    for (name, pem) in pems {
        fs::write(directory.path().join(name), pem.as_ref().unwrap()).unwrap();
    }
    directory
}

fn text(path: &Path) -> String {
    let arguments =
        ["x509", "-noout", "-text", "-nameopt", "utf8,sep_comma_plus_space", "-certopt", "ext_parse", "-in"];
    let (done, text) = openssl(&[&arguments[..], &[path.to_str().unwrap()]].concat());
    assert!(done, "{text}");
    text
}

fn extensions(pem: &Option<String>) -> Vec<(String, bool)> {
    let certificate = Certificate::from_pem(pem.as_ref().unwrap()).unwrap();
    let extensions = certificate.tbs_certificate().extensions().unwrap();
    let name = |oid| DB.by_oid(oid).unwrap_or("?").to_owned();
    extensions.iter().map(|extension| (name(&extension.extn_id), extension.critical)).collect()
}

fn expected(list: &[(&str, bool)]) -> Vec<(String, bool)> {
    list.iter().map(|(name, critical)| ((*name).to_owned(), *critical)).collect()
}

fn attributes(pem: &Option<String>) -> Vec<(String, String)> {
    let certificate = Certificate::from_pem(pem.as_ref().unwrap()).unwrap();
    let (_, names) = certificate.tbs_certificate().get_extension::<SubjectAltName>().unwrap().unwrap();
    let attribute = |name: GeneralName| match name {
        GeneralName::OtherName(other) => {
            assert_eq!(other.value.to_der().unwrap()[0], 0x0C, "a UTF8String");
            (other.type_id.to_string(), String::from_utf8(other.value.value().to_vec()).unwrap())
        }
        other => panic!("{other:?}"),
    };
    names.0.into_iter().map(attribute).collect()
}

#[test]
fn openssl_verifies_every_certificate_against_its_ca() {
    for kind in Kind::ALL {
        let certificates = image(kind).certificates;
        let mut pairs = vec![("sign", &certificates.sign, &certificates.sign_ca)];
        if kind.has_auth() {
            pairs.push(("auth", &certificates.auth, &certificates.auth_ca));
        }
        for (name, certificate, ca) in pairs {
            let directory = write(&[("leaf", certificate), ("ca", ca)]);
            let (leaf, ca) = (directory.path().join("leaf"), directory.path().join("ca"));
            let arguments = ["verify", "-x509_strict", "-attime", "1768446000", "-CAfile", ca.to_str().unwrap()];
            let (done, text) = openssl(&[&arguments[..], &[leaf.to_str().unwrap()]].concat());
            assert!(done && text.contains(": OK"), "{kind} {name}: {text}");
        }
    }
}

#[test]
fn openssl_does_not_verify_one_against_the_other_ca() {
    let certificates = image(Kind::MyNumber).certificates;
    let directory = write(&[("leaf", &certificates.auth), ("ca", &certificates.sign_ca)]);
    let (leaf, ca) = (directory.path().join("leaf"), directory.path().join("ca"));
    let arguments = ["verify", "-attime", "1768446000", "-CAfile", ca.to_str().unwrap(), leaf.to_str().unwrap()];
    assert!(!openssl(&arguments).0);
}

#[test]
fn extensions_stand_in_productions_order() {
    let certificates = image(Kind::MyNumber).certificates;
    assert_eq!(
        extensions(&certificates.auth),
        expected(&[
            ("id-ce-keyUsage", true),
            ("id-ce-extKeyUsage", false),
            ("id-ce-certificatePolicies", true),
            ("id-ce-issuerAltName", false),
            ("id-ce-cRLDistributionPoints", false),
            ("id-pe-authorityInfoAccess", false),
            ("id-ce-authorityKeyIdentifier", false),
            ("id-ce-subjectKeyIdentifier", false),
        ])
    );
    let sign = [
        ("id-ce-keyUsage", true),
        ("id-ce-certificatePolicies", true),
        ("id-ce-subjectAltName", false),
        ("id-ce-issuerAltName", false),
        ("id-ce-cRLDistributionPoints", false),
        ("id-ce-authorityKeyIdentifier", false),
        ("id-ce-subjectKeyIdentifier", false),
    ];
    assert_eq!(extensions(&certificates.sign), expected(&sign));
    assert_eq!(extensions(&image(Kind::Juki).certificates.sign), expected(&sign));
    let ca = [
        ("id-ce-keyUsage", true),
        ("id-ce-basicConstraints", true),
        ("id-ce-subjectKeyIdentifier", false),
        ("id-ce-subjectAltName", false),
        ("id-ce-cRLDistributionPoints", false),
    ];
    assert_eq!(extensions(&certificates.auth_ca), expected(&ca));
    assert_eq!(extensions(&certificates.sign_ca), expected(&ca));
}

#[test]
fn openssl_reads_an_authentication_certificate_as_specified() {
    let certificates = image(Kind::MyNumber).certificates;
    let text = text(&write(&[("leaf", &certificates.auth)]).path().join("leaf"));
    for line in [
        "Version: 3 (0x2)",
        "Signature Algorithm: sha256WithRSAEncryption",
        "Issuer: C=JP, O=PRACTICE\\, NOT VALID, OU=PRACTICE for user authentication, OU=PRACTICE authority, no public body",
        "Subject: C=JP, CN=PRACTICE",
        "99999003A",
        "Not Before: Jan 15 03:00:00 2026 GMT",
        "Not After : May  5 14:59:59 2030 GMT",
        "Public-Key: (2048 bit)",
        "Exponent: 65537",
        "TLS Web Client Authentication",
        "Policy: 1.3.6.1.4.1.32473.1.30",
        "CPS: http://practice.invalid/cps.html",
        "OCSP - URI:http://ocsp.practice.invalid",
        "OU = CRL Distribution Points",
        "OU = Mihon-ken",
        "CN = Renshu-shi CRLDP",
        "keyid:",
        "DirName:/C=JP/O=PRACTICE, NOT VALID",
        "serial:",
    ] {
        let line = line.replace("\\,", ",");
        let plain = text.replace('"', "").replace("\\,", ",");
        assert!(plain.contains(&line), "no {line:?} in\n{text}");
    }
    assert!(!text.contains("Mihon-ken, L") && !text.contains("Non Repudiation"), "{text}");
}

#[test]
fn a_signature_certificate_states_six_attributes_in_productions_order() {
    let certificates = image(Kind::MyNumber).certificates;
    let arc = "1.2.392.200149.8.5.5.";
    let expected = [
        ("1", "練習　太郎"),
        ("4", "419950505"),
        ("3", "1"),
        ("5", "見本県練習市練習町1番地"),
        ("2", "00000"),
        ("6", "000000000000"),
    ];
    let expected: Vec<(String, String)> =
        expected.iter().map(|(number, value)| (format!("{arc}{number}"), (*value).to_owned())).collect();
    assert_eq!(attributes(&certificates.sign), expected);
    let text = text(&write(&[("leaf", &certificates.sign)]).path().join("leaf"));
    assert!(
        text.contains("Digital Signature, Non Repudiation") && text.contains("L=Mihon-ken, L=Renshu-shi"),
        "{text}"
    );
    // Noon of 15 January 2026 in Japan, five digits of a counter, the municipality, 003A.
    assert!(text.contains("CN=20260115120000") && text.contains("99999003A"), "{text}");
    assert!(!text.contains("Authority Information Access"), "{text}");
}

#[test]
fn a_resident_of_the_callers_invention_is_certified() {
    let resident = Resident {
        name: Written { text: "CHEN　MEILING　練習　美玲".into(), substituted: vec![17] },
        address: "町".repeat(200).as_str().into(),
        birth: Birth { era: Era::None, year: 1990, month: 0, day: 0 },
        sex: Sex::Unknown,
        ..Resident::default()
    };
    let image = issue::personalise(&Order { resident, ..order(Kind::Juki) }).unwrap();
    let values: Vec<String> = attributes(&image.certificates.sign).into_iter().map(|(_, value)| value).collect();
    assert_eq!(values[1], "019900000");
    assert_eq!(values[2], "3");
    assert_eq!(values[3].chars().count(), 200);
    assert_eq!(values[4], "000000000000000001".to_owned() + "0".repeat(values[0].chars().count() - 18).as_str());
    assert_eq!(values[5], "0".repeat(200));
}

#[test]
fn a_juki_certificate_is_a_governors_for_three_years_less_a_day() {
    let certificates = image(Kind::Juki).certificates;
    let text = text(&write(&[("leaf", &certificates.sign)]).path().join("leaf"));
    for line in ["OU=PRACTICE Governor of Mihon-ken", "Not After : Jan 14 14:59:59 2029 GMT", "Public-Key: (1024 bit)"]
    {
        assert!(text.contains(line), "no {line:?} in\n{text}");
    }
}

#[test]
fn the_certificate_on_the_card_is_the_one_issued_with_filler_behind() {
    let image = image(Kind::MyNumber);
    let der = Certificate::from_pem(image.certificates.auth.as_ref().unwrap()).unwrap().to_der().unwrap();
    let mut card = card(image);
    assert_eq!(send(&mut card, "00A4040C0AD392F000260100000001"), "9000");
    let file = data(&mut card, "00B08A00 00 0000");
    let (found, filler) = file.split_at(der.len());
    assert_eq!(found, der);
    assert!(filler.len() == 120 && filler.iter().all(|byte| *byte == 0xFF));
    assert!(Certificate::from_der(found).is_ok());
}

#[test]
fn nothing_practice_made_passes_for_real() {
    for kind in Kind::ALL {
        let certificates = image(kind).certificates;
        let all = [&certificates.auth, &certificates.auth_ca, &certificates.sign, &certificates.sign_ca];
        for pem in all.into_iter().flatten() {
            let certificate = Certificate::from_pem(pem).unwrap();
            let issuer = certificate.tbs_certificate().issuer().to_der().unwrap();
            assert!(issuer.windows(19).any(|window| window == b"PRACTICE, NOT VALID"), "{kind}");
            let der = certificate.to_der().unwrap();
            let organisation = "地方公共団体情報システム機構".as_bytes();
            for real in [&b"JPKI"[..], b"jpki", "公的個人認証サービス".as_bytes(), organisation, b".go.jp"] {
                assert!(!der.windows(real.len()).any(|window| window == real), "{kind}");
            }
            // 1.2.392.200149.8.5.1, the arc of the real policies.
            let policy = [0x2A, 0x83, 0x08, 0x8C, 0x9B, 0x55, 0x08, 0x05, 0x01];
            assert!(!der.windows(policy.len()).any(|window| window == policy), "{kind}");
        }
        for (pem, usage, policy) in [
            (&certificates.auth, "練習用利用者証明用", "1.3.6.1.4.1.32473.1.30"),
            (
                &certificates.sign,
                if kind == Kind::Juki { "練習用知事" } else { "練習用署名用" },
                "1.3.6.1.4.1.32473.1.20",
            ),
        ] {
            let Some(pem) = pem else { continue };
            let certificate = Certificate::from_pem(pem).unwrap();
            let tbs = certificate.tbs_certificate();
            let (_, names) = tbs.get_extension::<IssuerAltName>().unwrap().unwrap();
            let [GeneralName::DirectoryName(name)] = names.0.as_slice() else { panic!("{kind}: {names:?}") };
            let name = name.to_string();
            assert!(name.contains("O=練習用認証サービス") && name.contains(&format!("OU={usage}")), "{kind}: {name}");
            let (_, policies) = tbs.get_extension::<CertificatePolicies>().unwrap().unwrap();
            let policies: Vec<_> = policies.0.iter().map(|policy| policy.policy_identifier.to_string()).collect();
            assert_eq!(policies, [policy], "{kind}");
        }
    }
}
