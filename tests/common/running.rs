//! Programs beside a test.

use super::{eventually, run};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus};

/// A program beside the test, which ends with it, and with it whatever it began.
pub struct Running(pub Child);

impl Running {
    pub fn start(command: &mut Command) -> Running {
        Running(command.process_group(0).spawn().unwrap_or_else(|error| panic!("{command:?} cannot be run: {error}")))
    }

    /// Waits until it has ended by itself.
    ///
    /// # Panics
    /// If it does not.
    pub fn ended(&mut self) -> ExitStatus {
        eventually("the program ends", || self.0.try_wait().expect("it is our child"))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // One that has been waited for is gone, and its group with it.
        if let Ok(None) = self.0.try_wait() {
            run(Command::new("kill").args(["-KILL", "--", &format!("-{}", self.0.id())])).ok();
            self.0.wait().expect("it is our child");
        }
    }
}
