//! Readers: those that the service lists, and those on USB that it does not.

use super::finding::{Code, Finding};
use crate::cli::machine::{Machine, entries};
use std::fs;
use std::path::Path;

/// USB's class of smart-card devices (CCID).
const CCID: &str = "0b";

/// Readers of FeliCa and NFC that are no CCID devices, and that PC/SC has no driver for on Linux.
const WITHOUT_DRIVER: [(&str, &str, &str); 4] = [
    ("054c", "01bb", "Sony PaSoRi RC-S320"),
    ("054c", "02e1", "Sony PaSoRi RC-S330"),
    ("054c", "06c1", "Sony PaSoRi RC-S380"),
    ("054c", "06c3", "Sony PaSoRi RC-S380"),
];

/// What concerns the readers, given the names the service lists.
pub fn examine(machine: &Machine, listed: &[String], with_usb: bool, findings: &mut Vec<Finding>) {
    findings.extend(listed.iter().map(|name| Finding::ok(Code::Reader, name)));
    let devices = if with_usb { devices(machine) } else { Vec::new() };
    if listed.is_empty() && !devices.iter().any(Device::is_reader) {
        findings.push(
            Finding::problem(Code::NoReader, "there is no card reader")
                .next("Connect one. Most readers of the CCID class work without a driver of their own."),
        );
    }
    findings.extend(without_driver(&devices, !listed.is_empty()));
    findings.extend(unlisted(&devices, listed).into_iter().map(|device| {
        let what = format!("the reader {} is connected, and pcscd does not list it", device.name());
        Finding::problem(Code::ReaderUnlisted, what).next(
            "sudo apt install libccid, then restart pcscd (sudo systemctl restart pcscd). If another program has the\n\
             reader for itself, such as GnuPG's scdaemon (gpgconf --kill scdaemon), end it first.",
        )
    }));
}

/// What USB tells while the service does not answer.
pub fn examine_without_service(machine: &Machine, findings: &mut Vec<Finding>) {
    let devices = devices(machine);
    findings.extend(without_driver(&devices, false));
    let readers = devices.iter().filter(|device| device.ccid);
    findings.extend(
        readers.map(|device| {
            Finding::note(Code::ReaderWaits, format!("the reader {} waits for the service", device.name()))
        }),
    );
}

fn without_driver(devices: &[Device], others: bool) -> Vec<Finding> {
    let finding = |device: &Device| {
        let model = device.without_driver()?;
        let what = format!("the reader {model} is no CCID device, and PC/SC has no driver for it");
        let finding = if others { Finding::note } else { Finding::problem };
        let next = "Use a reader of the CCID class that reads ISO 14443 type B, or one with contacts.";
        Some(finding(Code::ReaderWithoutDriver, what).next(next))
    };
    devices.iter().filter_map(finding).collect()
}

/// A device on USB.
struct Device {
    vendor: String,
    product: String,
    /// What it says it is called.
    called: String,
    /// Whether one of its interfaces is of the smart-card class.
    ccid: bool,
}

impl Device {
    fn name(&self) -> String {
        let id = format!("{}:{}", self.vendor, self.product);
        if self.called.is_empty() { id } else { format!("{} ({id})", self.called) }
    }

    fn without_driver(&self) -> Option<&'static str> {
        let known = |(vendor, product, _): &&(&str, &str, &str)| self.vendor == *vendor && self.product == *product;
        WITHOUT_DRIVER.iter().find(known).map(|(_, _, model)| *model)
    }

    fn is_reader(&self) -> bool {
        self.ccid || self.without_driver().is_some()
    }
}

/// The devices that sysfs shows. An interface is a directory beside its device's, with a colon in the name.
fn devices(machine: &Machine) -> Vec<Device> {
    let attribute = |directory: &Path, name: &str| {
        fs::read_to_string(directory.join(name)).unwrap_or_default().trim().to_lowercase()
    };
    let all = entries(&machine.system("/sys/bus/usb/devices"));
    let name_of = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let device = |path: &Path| {
        let vendor = attribute(path, "idVendor");
        let interfaces = format!("{}:", name_of(path));
        let ccid = all
            .iter()
            .any(|other| name_of(other).starts_with(&interfaces) && attribute(other, "bInterfaceClass") == CCID);
        let called = fs::read_to_string(path.join("product")).unwrap_or_default().trim().to_owned();
        (!vendor.is_empty()).then(|| Device { vendor, product: attribute(path, "idProduct"), called, ccid })
    };
    all.iter().filter_map(|path| device(path)).collect()
}

/// The CCID devices that none of the `listed` readers can be. pcscd's names come from the driver, not from the device: those
/// that do not match by name are paired off one for one.
fn unlisted<'a>(devices: &'a [Device], listed: &[String]) -> Vec<&'a Device> {
    let mut free: Vec<String> =
        listed.iter().map(|name| name.to_lowercase()).filter(|name| !name.starts_with("virtual pcd")).collect();
    let unmatched = devices.iter().filter(|device| device.ccid).filter(|device| {
        let called = device.called.to_lowercase();
        let found = free.iter().position(|name| !called.is_empty() && name.contains(&called));
        found.map(|index| free.remove(index)).is_none()
    });
    let unmatched: Vec<_> = unmatched.collect();
    unmatched.into_iter().skip(free.len()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use tempfile::TempDir;

    /// A machine with these devices: vendor, product, name, class of its interface.
    fn machine(devices: &[(&str, &str, &str, &str)]) -> (TempDir, Machine) {
        let root = tempfile::tempdir().unwrap();
        for (number, (vendor, product, called, class)) in devices.iter().enumerate() {
            let place = root.path().join("sys/bus/usb/devices");
            let device = place.join(format!("1-{number}"));
            let interface = place.join(format!("1-{number}:1.0"));
            for (directory, name, value) in [
                (&device, "idVendor", vendor),
                (&device, "idProduct", product),
                (&device, "product", called),
                (&interface, "bInterfaceClass", class),
            ] {
                fs::create_dir_all(directory).unwrap();
                fs::write(directory.join(name), format!("{value}\n")).unwrap();
            }
        }
        let machine = Machine::of(root.path(), |_| None);
        (root, machine)
    }

    fn codes(devices: &[(&str, &str, &str, &str)], listed: &[&str]) -> Vec<&'static str> {
        let (_root, machine) = machine(devices);
        let listed: Vec<_> = listed.iter().map(|name| (*name).to_owned()).collect();
        let mut findings = Vec::new();
        examine(&machine, &listed, true, &mut findings);
        findings.iter().map(|finding| finding.code.name()).collect()
    }

    const ACR122: (&str, &str, &str, &str) = ("072f", "2200", "ACR122U PICC Interface", "0b");
    const SCR3310: (&str, &str, &str, &str) = ("04e6", "5116", "SCR33xx v2.0 USB SC Reader", "0b");
    const PASORI: (&str, &str, &str, &str) = ("054c", "06c3", "NFC Port-100", "ff");
    const MOUSE: (&str, &str, &str, &str) = ("046d", "c077", "USB Optical Mouse", "03");

    #[test]
    fn a_machine_without_a_reader_needs_one() {
        assert_eq!(codes(&[MOUSE], &[]), ["no-reader"]);
    }

    #[test]
    fn a_pasori_of_the_older_kind_has_no_driver() {
        assert_eq!(codes(&[PASORI], &[]), ["reader-without-driver"]);
        assert_eq!(
            codes(&[PASORI, ACR122], &["ACS ACR122U PICC Interface 00 00"]),
            ["reader", "reader-without-driver"]
        );
    }

    #[test]
    fn a_reader_that_the_service_does_not_list_is_named() {
        assert_eq!(codes(&[ACR122, MOUSE], &[]), ["reader-unlisted"]);
        assert_eq!(codes(&[ACR122, SCR3310], &["ACS ACR122U PICC Interface 00 00"]), ["reader", "reader-unlisted"]);
        assert_eq!(codes(&[SCR3310], &["Virtual PCD 00 00"]), ["reader", "reader-unlisted"]);
    }

    #[test]
    fn a_reader_that_the_driver_calls_otherwise_is_not_missed() {
        assert_eq!(codes(&[SCR3310], &["SCM Microsystems Inc. SCR 3310 (0123456) 00 00"]), ["reader"]);
    }
}
