//! Where readers come from: PC/SC, or the embedded practice reader where the configuration asks for it.

use crate::config::Config;
use crate::transport::Readers;
use crate::transport::pcsc::PcscReaders;
use crate::transport::trace::Traced;

/// The readers this configuration asks for. With practice cards there are no real readers, so that nothing rehearsed can
/// touch a real card.
pub fn open(config: &Config) -> Box<dyn Readers> {
    #[cfg(feature = "practice")]
    if !config.practice.is_empty() {
        use crate::emulator::local::PracticeReaders;
        return Box::new(Traced::new(Box::new(PracticeReaders::from_files(&config.practice, config.lock_timeout))));
    }
    Box::new(Traced::new(Box::new(PcscReaders::new(config.lock_timeout))))
}
