//! Where readers come from: PC/SC, the embedded practice reader where the configuration asks for it, or nowhere.

use crate::config::Config;
use crate::transport::pcsc::PcscReaders;
use crate::transport::trace::Traced;
use crate::transport::{NoReaders, Readers};

/// The readers this configuration asks for. With practice cards there are no real readers, so that nothing rehearsed can
/// touch a real card; with a configuration that cannot be used there are none of either, for it may have said so.
pub fn open(config: &Config) -> Box<dyn Readers> {
    if config.unusable.is_some() {
        return Box::new(NoReaders);
    }
    #[cfg(feature = "practice")]
    if !config.practice.is_empty() {
        use crate::emulator::local::PracticeReaders;
        return Box::new(Traced::new(Box::new(PracticeReaders::from_files(&config.practice, config.lock_timeout))));
    }
    Box::new(Traced::new(Box::new(PcscReaders::new(config.lock_timeout))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::Error;

    #[test]
    fn a_configuration_that_cannot_be_used_opens_no_readers() {
        let unusable = Some("bad".to_owned());
        // Of practice cards neither, whatever else was said of them.
        for practice in [vec![], vec!["/nonexistent/a.card".into()]] {
            let readers = open(&Config { unusable: unusable.clone(), practice, ..Config::default() });
            assert_eq!(readers.look(), Ok(Vec::new()));
            assert_eq!(readers.connect("Practice Reader 00 00").err(), Some(Error::NoReader));
        }
    }
}
