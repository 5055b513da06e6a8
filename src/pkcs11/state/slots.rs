//! Readers and what lies in them, turned into slots: a pure reducer of what was seen. No call in here touches a reader.
//!
//! A reader is two slots, one a secret. Slots are keyed by the reader's name, numbered once and never renumbered; a
//! reader that comes back takes its slots again. The list of slots never shrinks (PKCS#11 3.0 §5.5.1 forbids it between
//! two size queries, NSS at any time). Each insertion and each removal starts a new epoch, and what belonged to an older
//! epoch (sessions, logins, handles) is over.

use super::view::View;
use crate::card::{Key, Kind, Profile, TokenInfo};
use crate::transport::{ReaderState, Stay};
use cryptoki_sys::CK_SLOT_ID;
use std::sync::Arc;

/// One slot: a reader's number and the key it is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Slot {
    pub(crate) reader: usize,
    pub(crate) key: Key,
}

impl Slot {
    /// Its `CK_SLOT_ID`: stable as long as the process lives.
    pub(crate) fn id(self) -> CK_SLOT_ID {
        (self.reader * 2 + usize::from(self.key == Key::Signature)) as CK_SLOT_ID
    }

    fn both(reader: usize) -> [Slot; 2] {
        Key::ALL.map(|key| Slot { reader, key })
    }
}

/// Counts insertions and removals in one reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub(crate) struct Epoch(u64);

/// What is known about a card of ours for as long as it lies in its reader.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) profile: &'static Profile,
    pub(crate) info: TokenInfo,
    /// The keys that the card offers.
    pub(crate) keys: Vec<Key>,
    /// Whether PSS signatures can be asked for, as far as known.
    pub(crate) pss: bool,
}

impl Identity {
    pub(crate) fn kind(&self) -> Kind {
        self.profile.kind
    }
}

/// What lies in a reader.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Contents {
    /// Nothing, or nothing that answers.
    Nothing,
    /// A card that nobody has asked yet.
    Unknown,
    /// A card that is not ours; it is left alone for the rest of this epoch.
    Foreign,
    /// A card of ours.
    Ours(Arc<Identity>),
}

/// All readers ever seen, and the slots shown.
#[derive(Debug)]
pub(crate) struct Slots {
    view: View,
    readers: Vec<ReaderHistory>,
    listed: Vec<Slot>,
}

/// One reader, as it was seen last, and what has come of what was seen before.
#[derive(Debug)]
struct ReaderHistory {
    name: String,
    seen: Option<ReaderState>,
    epoch: Epoch,
    contents: Contents,
    /// Changed since the last [`Slots::take_event`], for each of its slots.
    changed: [bool; 2],
}

impl Slots {
    /// No readers yet; `view` says which tokens are shown.
    pub(crate) fn new(view: impl Into<View>) -> Slots {
        Slots { view: view.into(), readers: Vec::new(), listed: Vec::new() }
    }

    /// Takes in what the readers look like now. Answers the readers whose epoch has moved.
    pub(crate) fn apply(&mut self, seen: &[ReaderState]) -> Vec<usize> {
        for state in seen {
            if !self.readers.iter().any(|reader| reader.name == state.name) {
                self.readers.push(ReaderHistory::new(state.name.clone()));
            }
        }
        let moved = |(index, reader): (usize, &mut ReaderHistory)| {
            reader.update(seen.iter().find(|state| state.name == reader.name)).then_some(index)
        };
        self.readers.iter_mut().enumerate().filter_map(moved).collect()
    }

    /// Forgets all events so far: what was there when the module was initialised is no event.
    pub(crate) fn settle(&mut self) {
        self.readers.iter_mut().for_each(|reader| reader.changed = [false; 2]);
    }

    /// Lets readers that appeared since join the list.
    pub(crate) fn join(&mut self) {
        let joining: Vec<Slot> = self.joining().collect();
        self.listed.extend(joining);
    }

    /// The slots that [`Slots::join`] would add.
    fn joining(&self) -> impl Iterator<Item = Slot> {
        let may_join = |slot: &Slot| !self.listed.contains(slot) && self.view.shows(slot.key);
        (0..self.readers.len()).flat_map(Slot::both).filter(may_join)
    }

    /// The slots shown, in the order in which they joined.
    pub(crate) fn listed(&self) -> &[Slot] {
        &self.listed
    }

    /// The slot with this id, if it is shown, or would be once somebody asks for the list: an event may have told of it.
    pub(crate) fn slot(&self, id: CK_SLOT_ID) -> Option<Slot> {
        self.listed.iter().copied().chain(self.joining()).find(|slot| slot.id() == id)
    }

    /// Names of all readers ever seen, by number.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.readers.iter().map(|reader| reader.name.as_str())
    }

    /// The reader's present epoch.
    pub(crate) fn epoch(&self, reader: usize) -> Epoch {
        self.readers.get(reader).map_or(Epoch::default(), |reader| reader.epoch)
    }

    /// The stay of the card in the reader, as other processes know it.
    pub(crate) fn stay(&self, reader: usize) -> Stay {
        let reader = self.readers.get(reader);
        let events = reader.and_then(|reader| reader.seen.as_ref()).map_or(0, |seen| seen.event_count);
        Stay { reader: reader.map(|reader| reader.name.clone()).unwrap_or_default(), events }
    }

    /// What lies in the reader.
    pub(crate) fn contents(&self, reader: usize) -> &Contents {
        self.readers.get(reader).map_or(&Contents::Nothing, |reader| &reader.contents)
    }

    /// The card behind a slot, if its token is shown there: the card has the key, and the view does not hide it. A view of
    /// one token hides the other one also where the card has no more: what is typed for one secret would be a try of the
    /// other, and a browser would be shown name and address.
    pub(crate) fn token(&self, slot: Slot) -> Option<&Arc<Identity>> {
        let Contents::Ours(identity) = self.contents(slot.reader) else { return None };
        (identity.keys.contains(&slot.key) && self.view.shows(slot.key)).then_some(identity)
    }

    /// Records what a probe has found. A verdict about an older epoch says nothing about this one.
    pub(crate) fn found(&mut self, reader: usize, epoch: Epoch, contents: Contents) {
        if let Some(reader) = self.readers.get_mut(reader).filter(|reader| reader.epoch == epoch) {
            reader.contents = contents;
        }
    }

    /// Records that the card has refused a PSS signature for good.
    pub(crate) fn without_pss(&mut self, reader: usize, epoch: Epoch) {
        if let Some(ReaderHistory { contents: Contents::Ours(identity), .. }) =
            self.readers.get_mut(reader).filter(|reader| reader.epoch == epoch)
        {
            *identity = Arc::new(Identity { pss: false, ..Identity::clone(identity) });
        }
    }

    /// Records that a call found its card gone before any look did. Answers whether that was news.
    pub(crate) fn lost(&mut self, reader: usize, epoch: Epoch) -> bool {
        match self.readers.get_mut(reader).filter(|reader| reader.epoch == epoch) {
            Some(reader) => reader.update(None),
            None => false,
        }
    }

    /// The next slot shown whose token came or went; each is told once (PKCS#11 3.0 §5.5.4, C_WaitForSlotEvent). Of a
    /// reader that was plugged in since the list was asked for, too: who does nothing but wait would never hear of it.
    pub(crate) fn take_event(&mut self) -> Option<Slot> {
        let candidates: Vec<Slot> = self.listed.iter().copied().chain(self.joining()).collect();
        candidates.into_iter().find(|slot| {
            let changed = self.readers.get_mut(slot.reader).map(|reader| reader.changed_for(slot.key));
            changed.is_some_and(std::mem::take)
        })
    }
}

impl ReaderHistory {
    fn new(name: String) -> ReaderHistory {
        ReaderHistory { name, seen: None, epoch: Epoch::default(), contents: Contents::Nothing, changed: [false; 2] }
    }

    /// Takes in the reader's new state, `None` where it is gone or its card known to be. Answers whether an epoch began.
    fn update(&mut self, now: Option<&ReaderState>) -> bool {
        let occupied = |state: Option<&ReaderState>| state.is_some_and(|state| state.present);
        let before = self.seen.as_ref();
        let swapped = matches!((before, now), (Some(before), Some(now)) if before.event_count != now.event_count);
        let moved = occupied(before) != occupied(now) || swapped;
        if moved {
            self.epoch = Epoch(self.epoch.0 + 1);
            self.changed = [true; 2];
            self.contents = if occupied(now) { Contents::Unknown } else { Contents::Nothing };
        } else if before.is_some_and(|before| before.mute) && now.is_some_and(|now| !now.mute) {
            // A contactless card that answers at last: it was judged while it could not.
            self.contents = Contents::Unknown;
        }
        self.seen = now.cloned();
        moved
    }

    fn changed_for(&mut self, key: Key) -> &mut bool {
        let [authentication, signature] = &mut self.changed;
        match key {
            Key::Authentication => authentication,
            Key::Signature => signature,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::card::JPKI;
    use crate::config::Tokens;

    fn seen(name: &str, present: bool, event_count: u32) -> ReaderState {
        ReaderState { name: name.to_owned(), present, mute: false, event_count }
    }

    fn card(label: &str, keys: &[Key]) -> Contents {
        let mut file = [b' '; 160];
        file[..label.len()].copy_from_slice(label.as_bytes());
        Contents::Ours(Arc::new(Identity {
            profile: Profile::of(&JPKI, label).unwrap(),
            info: TokenInfo::parse(&JPKI, &file).unwrap(),
            keys: keys.to_vec(),
            pss: true,
        }))
    }

    fn ids(slots: &Slots) -> Vec<CK_SLOT_ID> {
        slots.listed().iter().map(|slot| slot.id()).collect()
    }

    #[test]
    fn a_reader_is_two_slots_that_are_never_renumbered() {
        let mut slots = Slots::new(Tokens::Both);
        slots.apply(&[seen("A", false, 0), seen("B", false, 0)]);
        slots.join();
        assert_eq!(ids(&slots), [0, 1, 2, 3]);
        slots.apply(&[seen("B", false, 0)]);
        slots.join();
        assert_eq!(ids(&slots), [0, 1, 2, 3], "the list never shrinks");
        slots.apply(&[seen("C", false, 0), seen("B", false, 0)]);
        assert_eq!(ids(&slots), [0, 1, 2, 3], "nothing joins before it may");
        slots.join();
        slots.apply(&[seen("A", false, 0), seen("B", false, 0), seen("C", false, 0)]);
        slots.join();
        assert_eq!(ids(&slots), [0, 1, 2, 3, 4, 5], "A has its own slots again");
    }

    #[test]
    fn insertion_removal_and_a_swap_between_two_looks_each_begin_an_epoch() {
        let mut slots = Slots::new(Tokens::Both);
        slots.apply(&[seen("A", false, 0)]);
        let empty = slots.epoch(0);
        assert_eq!(slots.apply(&[seen("A", true, 1)]), [0]);
        let first = slots.epoch(0);
        assert!(first > empty && *slots.contents(0) == Contents::Unknown);
        assert_eq!(slots.apply(&[seen("A", true, 1)]), [] as [usize; 0]);
        assert_eq!(slots.epoch(0), first);
        assert_eq!(slots.apply(&[seen("A", true, 3)]), [0], "out and in again");
        assert!(slots.epoch(0) > first);
        assert_eq!(slots.apply(&[]), [0], "the reader is gone, and its card");
        assert_eq!(*slots.contents(0), Contents::Nothing);
    }

    #[test]
    fn a_verdict_about_an_older_epoch_is_dropped() {
        let mut slots = Slots::new(Tokens::Both);
        slots.apply(&[seen("A", true, 1)]);
        let old = slots.epoch(0);
        slots.apply(&[seen("A", true, 3)]);
        slots.found(0, old, Contents::Foreign);
        assert_eq!(*slots.contents(0), Contents::Unknown);
        assert!(!slots.lost(0, old));
        assert!(slots.lost(0, slots.epoch(0)));
    }

    #[test]
    fn a_card_found_gone_by_a_call_comes_back_as_a_new_epoch() {
        let mut slots = Slots::new(Tokens::Both);
        slots.apply(&[seen("A", true, 1)]);
        let old = slots.epoch(0);
        assert!(slots.lost(0, old));
        assert_eq!(slots.apply(&[seen("A", true, 1)]), [0]);
        assert!(slots.epoch(0) > old);
    }

    #[test]
    fn a_view_of_one_token_never_shows_the_other() {
        for (view, key) in [(Tokens::Auth, Key::Authentication), (Tokens::Sign, Key::Signature)] {
            let mut slots = Slots::new(view);
            slots.apply(&[seen("A", true, 1)]);
            slots.join();
            assert_eq!(slots.listed(), [Slot { reader: 0, key }]);
            slots.found(0, slots.epoch(0), card("JPKIAPICCTOKEN2", &Key::ALL));
            slots.join();
            assert_eq!(slots.listed(), [Slot { reader: 0, key }]);
            assert!(slots.token(Slot { reader: 0, key }).is_some());
            assert!(slots.token(Slot { reader: 0, key: key.other() }).is_none());
            slots.found(0, slots.epoch(0), card("JPKIAPICCTOKEN2", &[key.other()]));
            slots.join();
            assert_eq!(slots.listed(), [Slot { reader: 0, key }]);
            assert!(slots.token(Slot { reader: 0, key: key.other() }).is_none(), "also where the card has no more");
        }
    }

    #[test]
    fn a_juki_card_fills_the_signature_slot_and_is_not_there_for_who_sees_the_other_only() {
        for (view, is_shown) in [(Tokens::Both, true), (Tokens::Auth, false), (Tokens::Sign, true)] {
            let mut slots = Slots::new(view);
            slots.apply(&[seen("A", true, 1)]);
            slots.found(0, slots.epoch(0), card("JPKIAPICCTOKEN", &[Key::Signature]));
            slots.join();
            assert_eq!(slots.token(Slot { reader: 0, key: Key::Signature }).is_some(), is_shown, "{view:?}");
            assert!(slots.token(Slot { reader: 0, key: Key::Authentication }).is_none());
            assert_eq!(slots.slot(1).is_some(), is_shown, "{view:?}");
        }
    }

    #[test]
    fn each_change_is_told_once_for_each_slot_shown() {
        let mut slots = Slots::new(Tokens::Both);
        slots.apply(&[seen("A", true, 1)]);
        slots.join();
        slots.settle();
        assert_eq!(slots.take_event(), None, "what was there from the start is no event");
        slots.apply(&[seen("A", false, 2)]);
        assert_eq!(slots.take_event().map(Slot::id), Some(0));
        assert_eq!(slots.take_event().map(Slot::id), Some(1));
        assert_eq!(slots.take_event(), None);
    }

    #[test]
    fn a_card_in_a_reader_that_was_plugged_in_since_the_list_is_told_too() {
        let mut slots = Slots::new(Tokens::Auth);
        slots.join();
        slots.apply(&[seen("A", true, 1)]);
        assert_eq!(ids(&slots), [] as [CK_SLOT_ID; 0], "the list grows when it is asked for, and only then");
        let told = slots.take_event().unwrap();
        assert_eq!((told.id(), slots.take_event()), (0, None));
        assert_eq!(slots.slot(0), Some(told), "what was told of can be asked about");
        assert_eq!(slots.slot(1), None, "the view leaves it out");
    }

    #[test]
    fn a_mute_card_that_answers_at_last_is_judged_anew() {
        let mut slots = Slots::new(Tokens::Both);
        slots.apply(&[ReaderState { mute: true, ..seen("A", true, 1) }]);
        slots.found(0, slots.epoch(0), Contents::Foreign);
        slots.apply(&[seen("A", true, 1)]);
        assert_eq!(*slots.contents(0), Contents::Unknown);
    }
}
