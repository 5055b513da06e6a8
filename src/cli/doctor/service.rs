//! The PC/SC service: whether it answers, and if not, why.

use super::finding::{Code, Finding};
use crate::cli::Exit;
use crate::cli::machine::Machine;
use crate::config::Config;
use crate::transport;
use crate::transport::pcsc::PcscReaders;
use std::fs;
use std::path::Path;

/// The rule that lets one user, `USER`, reach cards from anywhere.
const POLKIT_RULE: &str = "\
To let yourself use card readers from a session that is not at the machine's own screen, put this into
/etc/polkit-1/rules.d/50-pcscd.rules as root, with your name in the place of USER:
  polkit.addRule(function(action, subject) {
      if ((action.id == \"org.debian.pcsc-lite.access_pcsc\" ||
           action.id == \"org.debian.pcsc-lite.access_card\") && subject.user == \"USER\") {
          return polkit.Result.YES;
      }
  });";

/// Whether readers can be asked for.
pub fn examine(machine: &Machine, config: &Config, findings: &mut Vec<Finding>) -> bool {
    if !config.practice.is_empty() {
        findings.push(
            Finding::note(Code::PracticeReaders, "the configuration has practice cards: no real reader is used").next(
                "Take the key `practice` out of the configuration, or unset JPKI_PKCS11_CONF, to use a real card.",
            ),
        );
        return true;
    }
    match PcscReaders::new(config.lock_timeout).reach() {
        Ok(()) => {
            findings.push(Finding::ok(Code::Service, format!("it answers, {}", admission(machine))));
            true
        }
        Err(transport::Error::NoService) => {
            findings.push(absent(machine));
            false
        }
        Err(error) => {
            findings.push(refusal(machine, &error));
            false
        }
    }
}

/// Whom the service admits, as far as the machine's files tell. One that was built to ask polkit brings an action of polkit's
/// along (Debian 13); one that was not (Debian 12) asks nobody.
fn admission(machine: &Machine) -> &'static str {
    let action = "share/polkit-1/actions/org.debian.pcsc-lite.policy";
    let asks = ["/usr", "/usr/local"].iter().any(|place| machine.system(place).join(action).is_file());
    let told_not_to = ["/etc/default/pcscd", "/etc/sysconfig/pcscd"].iter().any(|file| {
        let text = fs::read_to_string(machine.system(file)).unwrap_or_default();
        text.lines().any(|line| !line.trim_start().starts_with('#') && line.contains("--disable-polkit"))
    });
    if asks && !told_not_to {
        "and polkit decides whom it takes: by its defaults who sits at this machine, and nobody over ssh"
    } else {
        "and takes everybody who is logged in to this machine, also over ssh"
    }
}

/// Why the service does not answer, as far as the machine's files tell.
fn absent(machine: &Machine) -> Finding {
    let installed = ["/usr/sbin/pcscd", "/usr/bin/pcscd", "/usr/local/sbin/pcscd", "/sbin/pcscd"];
    if !installed.iter().any(|path| machine.system(path).is_file()) && machine.program("pcscd").is_none() {
        return Finding::problem(Code::ServiceNotInstalled, "pcscd, the PC/SC service, is not installed")
            .next("sudo apt install pcscd");
    }
    let systemd = machine.system("/run/systemd/system").is_dir();
    let masked = ["pcscd.socket", "pcscd.service"].into_iter().filter(|unit| is_masked(machine, unit));
    let masked: Vec<_> = masked.collect();
    if !masked.is_empty() {
        let what = format!("pcscd is switched off: {} is masked", masked.join(" and "));
        return Finding::problem(Code::ServiceMasked, what)
            .next(format!("sudo systemctl unmask {} && sudo systemctl enable --now pcscd.socket", masked.join(" ")));
    }
    let socket = machine.service_socket();
    if socket.exists() {
        let what = format!("pcscd does not answer, although its socket {} is there", socket.display());
        let next = if systemd {
            "sudo systemctl restart pcscd.socket\njournalctl -u pcscd tells more if that does not help."
        } else {
            "Start pcscd again, as root."
        };
        return Finding::problem(Code::ServiceDead, what).next(next);
    }
    let next = if systemd {
        "sudo systemctl enable --now pcscd.socket"
    } else {
        "Start pcscd as root; this machine has no systemd to do it."
    };
    Finding::problem(Code::ServiceStopped, "pcscd, the PC/SC service, is not running").next(next)
}

/// A unit is masked by a link to /dev/null, or by an empty file.
fn is_masked(machine: &Machine, unit: &str) -> bool {
    ["/etc/systemd/system", "/run/systemd/system"].iter().any(|place| {
        let path = machine.system(place).join(unit);
        fs::read_link(&path).is_ok_and(|target| target == Path::new("/dev/null"))
            || fs::metadata(&path).is_ok_and(|metadata| metadata.is_file() && metadata.len() == 0)
    })
}

/// What a failed call to the service means.
pub fn refusal(machine: &Machine, error: &transport::Error) -> Finding {
    match error {
        transport::Error::Denied => {
            let what = if machine.is_over_ssh() {
                "polkit refuses this session, because it came over ssh"
            } else {
                "polkit refuses this session"
            };
            Finding::problem(Code::ServiceDenied, what).next(POLKIT_RULE).exit(Exit::Failed)
        }
        error => Finding::problem(Code::ServiceFails, error.to_string()).exit(Exit::Failed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn code(make: impl Fn(&Path)) -> (&'static str, String) {
        let root = tempfile::tempdir().unwrap();
        make(root.path());
        let finding = absent(&Machine::of(root.path(), |_| None));
        (finding.code.name(), finding.next.unwrap())
    }

    fn touch(root: &Path, file: &str) {
        fs::create_dir_all(root.join(file).parent().unwrap()).unwrap();
        fs::write(root.join(file), "x").unwrap();
    }

    #[test]
    fn a_silent_service_is_told_apart_by_what_the_machine_has() {
        assert_eq!(code(|_| {}).0, "service-not-installed");
        let installed = |root: &Path| touch(root, "usr/sbin/pcscd");
        assert_eq!(code(installed).0, "service-stopped");
        assert_eq!(
            code(|root| {
                installed(root);
                touch(root, "run/pcscd/pcscd.comm");
            })
            .0,
            "service-dead"
        );
        let (code, next) = code(|root| {
            installed(root);
            touch(root, "etc/systemd/system/other");
            symlink("/dev/null", root.join("etc/systemd/system/pcscd.socket")).unwrap();
        });
        assert_eq!(code, "service-masked");
        assert!(next.contains("unmask pcscd.socket "), "{next}");
    }

    #[test]
    fn systemd_starts_the_socket_where_it_is_the_init() {
        let (_, next) = code(|root| {
            touch(root, "usr/sbin/pcscd");
            fs::create_dir_all(root.join("run/systemd/system")).unwrap();
        });
        assert_eq!(next, "sudo systemctl enable --now pcscd.socket");
    }

    #[test]
    fn whom_the_service_admits_depends_on_how_it_was_built_and_what_it_is_told() {
        let admitted = |files: &[(&str, &str)]| {
            let (_root, machine) = Machine::with_files(files);
            admission(&machine)
        };
        let policy = ("usr/share/polkit-1/actions/org.debian.pcsc-lite.policy", "<policyconfig>");
        let told = |text| ("etc/default/pcscd", text);
        assert!(admitted(&[]).contains("takes everybody"), "Debian 12");
        assert!(admitted(&[policy]).contains("polkit decides"), "Debian 13");
        assert!(admitted(&[policy, told("PCSCD_ARGS=--disable-polkit\n")]).contains("everybody"));
        assert!(admitted(&[policy, told("# PCSCD_ARGS=--disable-polkit\n")]).contains("polkit decides"));
    }

    #[test]
    fn a_refusal_over_ssh_names_the_rule() {
        let ssh = Machine::of(Path::new("/nowhere"), |name| (name == "SSH_CONNECTION").then(|| "x".into()));
        let finding = refusal(&ssh, &transport::Error::Denied);
        assert!(finding.what.contains("ssh"), "{}", finding.what);
        assert!(finding.next.unwrap().contains("org.debian.pcsc-lite.access_card"));
        assert_eq!(finding.exit, Exit::Failed);
    }
}
