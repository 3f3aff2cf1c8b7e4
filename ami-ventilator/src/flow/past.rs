//! What a ventilator's life leaves to the next one, should it end at any instant: flushes that are
//! not decided, the open one, and how far the source was read. Pure; the bytes lie in the ring.
//!
//! Two records survive in the ring's file, each replaced atomically: the *journal*, written when a
//! flush ends or a context begins, and the *tally*, written after everything taken from the source.
//! Both are written before what they speak of is handed on, so an event that neither counts was
//! seen by nobody, and the next life takes it again.

use ami_graph::data::schema::Schema;
use ami_proto::codec;
use ami_proto::data_path::ids::Progress;
use ami_proto::data_path::to_collector::Manifest;
use ami_proto::data_path::ventilator_to_worker::Context;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Reason of the drop: the ring no longer holds the event.
pub const LOST: &str = "lost";

/// The undecided flushes of one life.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Past {
    /// The life.
    pub epoch: u64,
    /// Its flushes below are decided.
    pub watermark: u64,
    /// How far that is.
    pub decided: Progress,
    /// The root's life that decided them.
    pub root_life: u64,
    /// The others, each as lost as a whole: partials that the host collector has, or still gets,
    /// win over these where it knows the true manifest.
    pub manifests: Vec<Manifest>,
    /// What they were seen with.
    pub contexts: Vec<Context>,
    /// Fields that the contexts refer to.
    pub schemas: Vec<(u32, Arc<Schema>)>,
}

/// How far a life has come.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Tally {
    /// Grows with every writing.
    pub step: u64,
    /// Flushes below are decided.
    pub watermark: u64,
    /// The root's life that decided them.
    pub root_life: u64,
    /// Events taken from the source, by the lives before as well.
    pub taken: u64,
    /// The first heartbeat that the next life may open.
    pub earliest: u64,
    /// Newest timestamp taken.
    pub newest: Option<u64>,
    /// The open flush, as lost.
    pub open: Option<Manifest>,
}

/// All that a life leaves.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Journal {
    /// Which source it had: URL and what tells it from others of that URL.
    pub source: String,
    /// Flushes that ended.
    pub life: Past,
    /// As of the journal's writing.
    pub tally: Tally,
    /// Undecided flushes of earlier lives.
    pub before: Vec<Past>,
}

/// What a new life takes over.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Inheritance {
    /// Undecided flushes, by life, oldest first.
    pub pasts: Vec<Past>,
    /// The last life's source.
    pub source: String,
    /// How far the last life had come; none if there was none.
    pub tally: Option<Tally>,
    /// Graph version of its newest context.
    pub version: u64,
    /// Reading of the source of its newest context; 0 if it had none.
    pub reading: u64,
}

impl Past {
    /// Flushes below are decided.
    pub fn decide(&mut self, flushes: u64) {
        self.watermark = self.watermark.max(flushes);
        if let Some(newest) = self.manifests.iter().rfind(|m| m.flush < flushes) {
            self.decided = newest.progress();
        }
        self.manifests.retain(|m| m.flush >= flushes);
    }
}

impl Inheritance {
    /// Events of this source that earlier lives took: where the new life goes on.
    pub fn taken(&self, source: &str) -> u64 {
        let tally = self.tally.as_ref().filter(|_| self.source == source);
        tally.map_or(0, |t| t.taken)
    }
}

/// A manifest with all its units given up.
pub fn lost(mut manifest: Manifest, staged: u64) -> Manifest {
    let units: u64 = manifest.units.drain(..).map(|(_, events)| u64::from(events)).sum();
    if units + staged > 0 {
        *manifest.dropped.entry(LOST.into()).or_default() += units + staged;
    }
    manifest
}

impl Journal {
    /// As at most `room` bytes for the ring. Held values, then schemas, are left out where they
    /// take too much: what is lost is counted all the same. None if even that is too long.
    pub fn encode(&mut self, room: usize) -> Option<Vec<u8>> {
        for leave_out in [|_: &mut Past| (), forget_held, forget_schemas] {
            leave_out(&mut self.life);
            self.before.iter_mut().for_each(leave_out);
            let bytes = codec::encode(self);
            if bytes.len() <= room {
                return Some(bytes);
            }
        }
        None
    }

    /// From a dead ring's journal and tally. The tally is newer, unless the life ended between the
    /// two writings.
    ///
    /// # Errors
    /// When the journal cannot be read, for instance as another release wrote it.
    pub fn decode(journal: &[u8], tally: Option<&[u8]>) -> Result<Journal, codec::CodecError> {
        let mut journal: Journal = codec::decode(journal)?;
        if let Some(Ok(tally)) = tally.map(codec::decode::<Tally>)
            && tally.step > journal.tally.step
        {
            journal.tally = tally;
        }
        Ok(journal)
    }

    /// The life's undecided flushes, the open one closed where it was.
    fn past(&self) -> Past {
        let mut past = self.life.clone();
        let (from, ended) = (past.watermark, past.manifests.len() as u64);
        past.root_life = self.tally.root_life;
        let open = self.tally.open.iter().filter(|m| m.flush == from.saturating_add(ended));
        past.manifests.extend(open.cloned());
        past.decide(self.tally.watermark);
        past
    }
}

fn forget_held(past: &mut Past) {
    past.contexts.iter_mut().for_each(|c| c.held.clear());
}

fn forget_schemas(past: &mut Past) {
    past.schemas.clear();
}

/// What the journals of dead lives come to.
pub fn inherit(mut journals: Vec<Journal>) -> Inheritance {
    journals.sort_by_key(|j| j.life.epoch);
    let mut pasts = BTreeMap::new();
    for journal in &journals {
        pasts.insert(journal.life.epoch, journal.past());
        // What a later life still had to answer for is newer than what the earlier one left.
        pasts.extend(journal.before.iter().map(|p| (p.epoch, p.clone())));
    }
    pasts.retain(|_, past| !past.manifests.is_empty());
    let Some(last) = journals.pop() else { return Inheritance::default() };
    let newest = last.life.contexts.last().map(|c| c.conditions).unwrap_or_default();
    Inheritance {
        pasts: pasts.into_values().collect(),
        source: last.source,
        tally: Some(last.tally),
        version: newest.version,
        reading: newest.reading,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ami_proto::data_path::ids::Key;

    fn manifest(epoch: u64, flush: u64, units: &[(u64, u32)]) -> Manifest {
        Manifest {
            epoch,
            flush,
            key: Key { segment: 0, heartbeat: flush },
            context: 0,
            conditions: Default::default(),
            taken: Default::default(),
            timestamp_ns: 0,
            units: units.to_vec(),
            dropped: [("overload".to_string(), 2)].into(),
            late: 0,
            last: true,
            end: false,
        }
    }

    fn journal(epoch: u64, flushes: std::ops::Range<u64>, step: u64) -> Journal {
        let manifests = flushes.clone().map(|f| lost(manifest(epoch, f, &[(f, 10)]), 0)).collect();
        let life = Past { epoch, watermark: flushes.start, manifests, ..Past::default() };
        let tally = Tally { step, watermark: flushes.start, ..Tally::default() };
        Journal { source: "sim:mixed".into(), life, tally, before: Vec::new() }
    }

    #[test]
    fn a_lost_manifest_counts_its_units_and_what_was_staged() {
        let lost = lost(manifest(1, 0, &[(0, 10), (1, 5)]), 3);
        assert_eq!(lost.dropped, [("overload".to_string(), 2), (LOST.to_string(), 18)].into());
        assert!(lost.units.is_empty());
    }

    #[test]
    fn the_newer_of_journal_and_tally_counts() {
        let mut written = journal(1, 3..5, 10);
        let open = Some(lost(manifest(1, 5, &[]), 7));
        for (step, expected) in [(9, None), (11, Some(7))] {
            let tally = Tally {
                step,
                taken: 99,
                watermark: 4,
                open: open.clone(),
                root_life: 2,
                ..Tally::default()
            };
            let read =
                Journal::decode(&written.encode(1 << 20).unwrap(), Some(&codec::encode(&tally)))
                    .unwrap();
            let inherited = inherit(vec![read]);
            let past = &inherited.pasts[0];
            let last = past.manifests.last().unwrap();
            match expected {
                None => assert_eq!((past.watermark, last.flush, past.manifests.len()), (3, 4, 2)),
                Some(lost) => {
                    assert_eq!((past.watermark, last.flush, past.manifests.len()), (4, 5, 2));
                    assert_eq!(last.dropped[LOST], lost);
                    assert_eq!(inherited.tally.unwrap().taken, 99);
                }
            }
        }
    }

    #[test]
    fn an_open_flush_that_ended_meanwhile_is_not_counted_twice() {
        let mut written = journal(1, 3..5, 10);
        written.tally.open = Some(manifest(1, 4, &[]));
        let inherited = inherit(vec![written]);
        let flushes: Vec<u64> = inherited.pasts[0].manifests.iter().map(|m| m.flush).collect();
        assert_eq!(flushes, [3, 4]);
    }

    #[test]
    fn lives_that_died_before_they_had_answered_are_answered_for() {
        let (first, mut second) = (journal(1, 3..6, 10), journal(2, 0..1, 4));
        second.before = vec![Past { watermark: 5, ..first.past() }];
        second.before[0].manifests.drain(..2);
        second.tally.taken = 1000;
        let inherited = inherit(vec![second, first]);
        let of = |p: &Past| (p.epoch, p.watermark, p.manifests.len());
        assert_eq!(inherited.pasts.iter().map(of).collect::<Vec<_>>(), [(1, 5, 1), (2, 0, 1)]);
        assert_eq!(inherited.tally.unwrap().taken, 1000);
        assert_eq!(inherit(Vec::new()), Inheritance::default());
    }

    proptest::proptest! {
        #[test]
        fn garbage_is_an_error_not_a_crash(bytes: Vec<u8>, at in 0usize..200, byte: u8) {
            let _ = Journal::decode(&bytes, Some(&bytes));
            let mut written = journal(1, 3..5, 10).encode(1 << 20).unwrap();
            let at = at % written.len();
            written[at] = byte;
            if let Ok(read) = Journal::decode(&written, None) {
                inherit(vec![read]);
            }
        }
    }
}
