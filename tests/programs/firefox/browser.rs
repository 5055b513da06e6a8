//! Firefox in a window, with a profile of its own, and what its user does with it.

use super::marionette::Marionette;
use crate::common::{run, tool};
use crate::display::{Display, Seen, Window, patiently};
use crate::ground::Ground;
use serde_json::{Value, json};
use std::fs;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// The title of the PIN prompt.
const PROMPT: &str = "^Password Required";

/// What makes a test's Firefox quiet: no first-run page, no talk to Mozilla.
const PREFERENCES: [(&str, &str); 8] = [
    ("marionette.port", "0"),
    ("app.normandy.enabled", "false"),
    ("app.update.auto", "false"),
    ("browser.aboutwelcome.enabled", "false"),
    ("browser.shell.checkDefaultBrowser", "false"),
    ("datareporting.policy.dataSubmissionEnabled", "false"),
    ("network.captive-portal-service.enabled", "false"),
    ("network.connectivity-service.enabled", "false"),
];

/// Runs Firefox where `$1` is `/etc/firefox/policies/policies.json`, which it is for this process only.
const WITH_POLICIES: &str = r#"
set -e
mount -t tmpfs tmpfs "$2"
mkdir "$2/upper" "$2/work"
cp "$1" "$2/policies.json"
mount -t overlay overlay -o "lowerdir=/etc,upperdir=$2/upper,workdir=$2/work" /etc
mkdir -p /etc/firefox/policies
cp "$2/policies.json" /etc/firefox/policies/policies.json
shift 2
exec "$@"
"#;

/// Firefox's settings of one user, made before it runs.
pub struct Profile(PathBuf);

impl Profile {
    /// A new one, in which the authority of this certificate is trusted for servers.
    pub fn new(ground: &Ground<'_>, name: &str, authority: &Path) -> Profile {
        let path = ground.scratch.path().join(name);
        fs::create_dir(&path).expect("the scratch directory is ours");
        let profile = Profile(path);
        for (name, value) in PREFERENCES {
            profile.prefer(name, value);
        }
        run(profile.certutil().args(["-N", "--empty-password"])).ok();
        run(profile.certutil().args(["-A", "-n", "Test server authority", "-t", "C,,", "-i"]).arg(authority)).ok();
        profile
    }

    /// Adds a module, as the page on Firefox says.
    pub fn add_module(&self, module: &Path) {
        let mut modutil = Command::new(tool("modutil", "libnss3-tools"));
        let database = ["-force", "-dbdir", &self.database()];
        run(modutil.args(database).args(["-add", "JPKI", "-libfile"]).arg(module)).ok();
    }

    /// Sends the only certificate there is without asking which.
    pub fn choose_automatically(&self) {
        self.prefer("security.default_personal_cert", "\"Select Automatically\"");
    }

    fn prefer(&self, name: &str, value: &str) {
        let preferences = File::options().create(true).append(true).open(self.0.join("user.js"));
        let mut preferences = preferences.expect("the scratch directory is ours");
        writeln!(preferences, "user_pref(\"{name}\", {value});").expect("there is room for it");
    }

    fn certutil(&self) -> Command {
        let mut certutil = Command::new(tool("certutil", "libnss3-tools"));
        certutil.args(["-d", &self.database()]);
        certutil
    }

    fn database(&self) -> String {
        format!("sql:{}", self.0.display())
    }
}

/// Firefox, running.
pub struct Firefox<'a> {
    process: Child,
    marionette: Marionette,
    display: &'a Display,
}

/// The dialog in which a certificate is chosen.
#[derive(Debug)]
pub struct Choice {
    /// What there is to choose from.
    pub certificates: Vec<String>,
    /// The token of the one that is chosen if nothing is done.
    pub token: String,
}

impl<'a> Firefox<'a> {
    /// Starts it, for all users of the machine set up by the file `policies`, if there is one.
    pub fn start(ground: &Ground<'_>, display: &'a Display, profile: &Profile, policies: Option<&Path>) -> Firefox<'a> {
        let firefox = tool("firefox-esr", "firefox-esr");
        let mut command = match policies {
            None => display.command(firefox),
            Some(policies) => {
                let overlay = profile.0.with_extension("etc");
                fs::create_dir(&overlay).expect("the scratch directory is ours");
                let mut command = display.command(tool("unshare", "util-linux"));
                command.args(["--mount", "sh", "-c", WITH_POLICIES, "sh"]).args([policies, &overlay, &firefox]);
                command
            }
        };
        let mut process = command
            .args(["--marionette", "--remote-allow-system-access", "--no-remote", "--profile"])
            .arg(&profile.0)
            .current_dir(ground.scratch.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("Firefox can be run");
        let port = patiently("Firefox listens", || {
            let ended = process.try_wait().expect("it is our child");
            assert!(ended.is_none(), "Firefox ended at once: {ended:?}");
            fs::read_to_string(profile.0.join("MarionetteActivePort")).ok()?.trim().parse().ok()
        });
        let mut firefox = Firefox { process, marionette: Marionette::connect(port), display };
        firefox.chrome(
            "window.prompts = [];
             Services.obs.addObserver(prompt => {
                 window.prompts.push(prompt.document.getElementById('infoBody').textContent);
             }, 'common-dialog-loaded');",
        );
        firefox
    }

    /// Goes to a page, without waiting for it.
    pub fn open(&mut self, url: &str) {
        let prompted = || self.display.window(PROMPT).is_some();
        for (command, parameters) in
            [("Marionette:SetContext", json!({ "value": "content" })), ("WebDriver:Navigate", json!({ "url": url }))]
        {
            if let Some(Err(error)) = self.marionette.call_until(command, parameters, prompted) {
                panic!("{command}: {error}");
            }
        }
    }

    /// Waits for the dialog that asks which certificate to send.
    pub fn choice(&mut self) -> Choice {
        let dialog = patiently("the choice of a certificate", || {
            let dialog = self.chrome(
                "const uri = 'chrome://pippki/content/clientauthask.xhtml';
                 const dialogs = [...document.querySelectorAll('browser')].filter(b => b.currentURI?.spec == uri);
                 const element = id => dialogs[0]?.contentDocument?.getElementById(id);
                 const token = element('clientAuthCertDetailsStoredOn')?.dataset.l10nArgs;
                 const items = [...element('nicknames')?.menupopup?.children ?? []];
                 return [items.map(item => item.getAttribute('label')), JSON.parse(token ?? '{}').storedOn ?? ''];",
            );
            (dialog[1] != "").then_some(dialog)
        });
        Choice {
            certificates: serde_json::from_value(dialog[0].clone()).expect("a list of labels"),
            token: serde_json::from_value(dialog[1].clone()).expect("a label"),
        }
    }

    /// Takes the certificate of this token in that dialog, as a person does who opens its list.
    pub fn choose(&mut self, token: &str) {
        let chosen = self.chrome(&format!(
            "return (async () => {{
                 const uri = 'chrome://pippki/content/clientauthask.xhtml';
                 const dialog = [...document.querySelectorAll('browser')].find(b => b.currentURI?.spec == uri);
                 const element = id => dialog.contentDocument.getElementById(id);
                 const list = element('nicknames');
                 for (const item of list.menupopup.children) {{
                     list.selectedItem = item;
                     // What it does when the choice has changed.
                     await dialog.contentWindow.setDetails();
                     const details = element('clientAuthCertDetailsStoredOn').dataset.l10nArgs;
                     if (JSON.parse(details).storedOn == '{token}') return true;
                 }}
                 return false;
             }})();"
        ));
        assert_eq!(chosen, true, "no certificate of {token}");
    }

    /// Takes what the dialog proposes: presses Return.
    pub fn confirm(&mut self) {
        let window = self.display.window("Mozilla Firefox$").expect("Firefox has a window");
        self.display.type_into(&window, "", "Return");
    }

    /// Types a PIN into its prompt and presses Return.
    pub fn answer(&mut self, prompt: &Window, pin: &str) {
        self.display.type_into(prompt, pin, "Return");
        patiently("the prompt closes", || (self.display.window(PROMPT).as_ref() != Some(prompt)).then_some(()));
    }

    /// Closes a prompt.
    pub fn cancel(&mut self, prompt: &Window) {
        self.display.type_into(prompt, "", "Escape");
        patiently("the prompt closes", || (self.display.window(PROMPT).as_ref() != Some(prompt)).then_some(()));
    }

    /// Waits for the page at `url`, for a reason why there is none, or for a prompt.
    pub fn sees(&mut self, url: &str) -> Seen {
        patiently(url, || {
            if let Some(prompt) = self.prompt() {
                return Some(Seen::Prompt(prompt));
            }
            // While Firefox asks for a PIN, its network stands still, and with it Marionette.
            let at = "const browser = gBrowser.selectedBrowser;
                      return browser.webProgress.isLoadingDocument ? null : browser.documentURI?.spec;";
            let at = self.script("chrome", at)?.ok()?.as_str()?.to_owned();
            if at.starts_with("about:neterror") || at.starts_with("about:certerror") {
                return Some(Seen::Failure(at));
            }
            let page = (at == url).then(|| self.script("content", "return document.body.innerText;"))??.ok()?;
            Some(Seen::Page(page.as_str()?.to_owned()))
        })
    }

    /// Logs in to the server at `url`: types the PIN into the first prompt, if there is one, and closes any other. The
    /// server's page.
    ///
    /// # Errors
    /// The address of Firefox's own page of what went wrong.
    pub fn log_in(&mut self, url: &str, pin: &str) -> Result<String, String> {
        self.open(url);
        let mut pin = Some(pin);
        loop {
            match (self.sees(url), pin.take()) {
                (Seen::Page(page), _) => return Ok(page),
                (Seen::Failure(reason), _) => return Err(reason),
                (Seen::Prompt(prompt), Some(pin)) => self.answer(&prompt, pin),
                (Seen::Prompt(prompt), None) => self.cancel(&prompt),
            }
        }
    }

    /// The tokens of the module in this file.
    pub fn tokens(&mut self, module: &Path) -> Vec<String> {
        let tokens = self.chrome(&format!(
            "const modules = Cc['@mozilla.org/security/pkcs11moduledb;1'].getService(Ci.nsIPKCS11ModuleDB);
             return modules.listModules().then(modules => {{
                 const ours = modules.filter(module => module.libName == '{}');
                 return ours.flatMap(module => module.slots.map(slot => slot.tokenName)).filter(token => token);
             }});",
            module.display()
        ));
        serde_json::from_value(tokens).expect("a list of labels")
    }

    /// The rows of "Your Certificates" in the Certificate Manager, opened by its button in the settings, once there are any.
    pub fn certificates(&mut self) -> Vec<(String, String)> {
        self.open("about:preferences#connectionSecurity");
        patiently("the settings", || {
            let pressed = self.chrome(
                "const control = gBrowser.contentDocument?.getElementById('setting-control-viewCertificatesButton');
                 const button = control?.controlEl;
                 button?.scrollIntoView();
                 button?.click();
                 return !!button;",
            );
            (pressed == true).then_some(())
        });
        let rows = patiently("the Certificate Manager", || {
            let rows = self.chrome(
                "const uri = 'chrome://pippki/content/certManager.xhtml';
                 const dialogs = [...gBrowser.contentDocument.querySelectorAll('browser')];
                 const dialog = dialogs.find(b => b.currentURI?.spec == uri)?.contentDocument;
                 const tree = dialog?.getElementById('user-tree');
                 if (!tree?.view?.rowCount) return null;
                 dialog.getElementById('mine_tab').click();
                 const cell = (row, column) => tree.view.getCellText(row, tree.columns.getNamedColumn(column));
                 return [...Array(tree.view.rowCount).keys()].map(row => [cell(row, 'certcol'), cell(row, 'tokencol')]);",
            );
            (!rows.is_null()).then_some(rows)
        });
        serde_json::from_value(rows).expect("pairs of names")
    }

    /// What the prompts have asked so far.
    pub fn prompts(&mut self) -> Vec<String> {
        serde_json::from_value(self.chrome("return window.prompts;")).expect("a list of texts")
    }

    /// Runs a script with Firefox's own rights, in its window.
    pub fn chrome(&mut self, script: &str) -> Value {
        let answer = self.script("chrome", script).expect("no prompt is open");
        answer.unwrap_or_else(|error| panic!("{error}\n{script}"))
    }

    /// Runs a script, unless there is a prompt.
    fn script(&mut self, context: &str, script: &str) -> Option<Result<Value, Value>> {
        let prompted = || self.display.window(PROMPT).is_some();
        let context = json!({ "value": context });
        self.marionette.call_until("Marionette:SetContext", context, prompted)?.ok();
        self.marionette.call_until("WebDriver:ExecuteScript", json!({ "script": script, "args": [] }), prompted)
    }

    fn prompt(&self) -> Option<Window> {
        self.display.window(PROMPT)
    }

    /// Chooses "Quit" in its menu.
    pub fn quit_by_menu(mut self) {
        let chosen = self.chrome(
            "const item = document.getElementById('menu_FileQuitItem');
             setTimeout(() => item.doCommand());
             return !!item;",
        );
        assert_eq!(chosen, true);
        patiently("Firefox ends", || self.process.try_wait().expect("it is our child"));
    }

    /// Closes it as its menu does, and what it asks before that.
    pub fn quit(mut self) {
        while let Some(prompt) = self.prompt() {
            self.cancel(&prompt);
        }
        self.marionette.call("Marionette:Quit", json!({ "flags": ["eForceQuit"] }));
        patiently("Firefox ends", || self.process.try_wait().expect("it is our child"));
    }
}

impl Drop for Firefox<'_> {
    fn drop(&mut self) {
        self.display.screenshot_of_failure();
        if self.process.kill().and_then(|()| self.process.wait()).is_err() {
            eprintln!("a Firefox stays behind");
        }
    }
}
