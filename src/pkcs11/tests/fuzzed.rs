//! What fuzzing found, as behaviour.

use super::*;
use crate::emulator::local::Incident;
use std::sync::mpsc;

#[test]
fn c_finalize_comes_back_though_the_card_does_not_answer_to_the_logout() {
    let ground = Ground::new(card(&MY_NUMBER));
    let session = ground.session(AUTH);
    ground.login(session, PIN).unwrap();
    ground.readers.on_command(READER, |_| Incident::Silence);
    let (done, finished) = mpsc::channel();
    std::thread::spawn(move || {
        ground.module.close();
        ground.module.disconnect();
        done.send(()).unwrap();
    });
    finished.recv_timeout(Duration::from_secs(30)).expect("C_Finalize hangs");
}
