//! Leaving the card to others now and then. pcscd looks ten times a second whether the card that somebody wants to connect
//! to is free, and other programs wait for a transaction in the same way. A program that signs without pause leaves
//! moments of a millisecond between its transactions, which they would miss for half a minute.

use std::time::{Duration, Instant};

/// Longer than the time between two looks of pcscd.
const GAP: Duration = Duration::from_millis(120);
/// The longest without a gap, which costs a program that signs without pause 4 % of its time.
const WITHOUT_GAP: Duration = Duration::from_secs(3);

/// When a connection has had the card.
#[derive(Default)]
pub(super) struct Turns {
    /// The beginning of its transactions without a gap, and the end of the last one.
    had: Option<(Instant, Instant)>,
}

impl Turns {
    /// How long to leave the card alone before the transaction that is wanted `now`.
    pub(super) fn pause(&self, now: Instant) -> Duration {
        match self.had {
            Some((since, last)) if now.duration_since(since) >= WITHOUT_GAP => {
                GAP.saturating_sub(now.duration_since(last))
            }
            _ => Duration::ZERO,
        }
    }

    /// A transaction from `begun` to `ended`.
    pub(super) fn had(&mut self, begun: Instant, ended: Instant) {
        let since = match self.had {
            Some((since, last)) if begun.duration_since(last) < GAP => since,
            _ => begun,
        };
        self.had = Some((since, ended));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Begins a transaction of `long` as soon as it may, and answers when it ended.
    fn transaction(turns: &mut Turns, wanted: Instant, long: Duration) -> (Duration, Instant) {
        let pause = turns.pause(wanted);
        let (begun, ended) = (wanted + pause, wanted + pause + long);
        turns.had(begun, ended);
        (pause, ended)
    }

    #[test]
    fn work_without_end_leaves_a_gap_every_three_seconds() {
        let start = Instant::now();
        let (mut turns, mut now, mut gaps) = (Turns::default(), start, Vec::new());
        while now < start + Duration::from_secs(10) {
            let (pause, ended) = transaction(&mut turns, now, Duration::from_millis(49));
            if !pause.is_zero() {
                gaps.push(pause);
            }
            now = ended + Duration::from_millis(1);
        }
        assert_eq!(gaps.len(), 3, "{gaps:?}");
        assert!(gaps.iter().all(|&gap| gap + Duration::from_millis(1) >= GAP), "{gaps:?}");
    }

    #[test]
    fn work_with_pauses_of_its_own_is_never_held_up() {
        let (mut turns, mut now) = (Turns::default(), Instant::now());
        for _ in 0..100 {
            let (pause, ended) = transaction(&mut turns, now, Duration::from_secs(1));
            assert_eq!(pause, Duration::ZERO);
            now = ended + GAP;
        }
    }
}
