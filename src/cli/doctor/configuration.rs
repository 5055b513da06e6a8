//! This project's own configuration: whether it can be used, for where it cannot nobody has any reader.

use super::finding::{Code, Finding};
use crate::config::Config;

/// Whether the configuration leaves readers to look at.
pub fn examine(config: &Config, findings: &mut Vec<Finding>) -> bool {
    if let Some(unusable) = &config.unusable {
        findings.push(Finding::problem(Code::ConfigurationUnusable, unusable).next(
            "Until that is mended this program and the module use no reader: the file may say to leave a card alone.\n\
             Programs that are running have to be started again then.",
        ));
    }
    findings.extend(config.notes.iter().map(|note| Finding::note(Code::ConfigurationPassedOver, note)));
    config.unusable.is_none()
}
