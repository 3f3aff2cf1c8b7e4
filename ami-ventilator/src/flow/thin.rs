//! Thinning: which events a live source keeps while workers do not keep up. Pure.
//!
//! When a heartbeat opens, a share is chosen for it, and an event is kept if a hash of its
//! timestamp lies below that share. So what is kept is spread evenly over the heartbeat and over
//! everything measured in it, and statistics stay unbiased; a smaller share keeps a part of what a
//! larger one keeps, so hosts that thin differently still agree on most events.
//!
//! The share follows what workers got done of what was offered. Two rules bound the age of results
//! whatever the share: with three heartbeats undone the next one is dropped whole; and a heartbeat
//! in which the load leaps up, faster than any share could follow, is cut off.

/// Heartbeats that may be undone when another one opens; beyond, it is dropped whole.
const MOST: usize = 3;
/// Of what got done, so much is kept while there is a backlog to be worked off.
const SLACK: f64 = 0.9;
/// The smallest share: enough to see that workers are fast again.
const LEAST: f64 = 1.0 / 4096.0;
/// Part of a heartbeat from which on its own speed is reckoned.
const EARLY: f64 = 1.0 / 8.0;

/// What workers have not done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Backlog {
    /// Heartbeats with events that are not done, the one that just ended among them.
    pub heartbeats: usize,
    /// Events in units that no worker has room for.
    pub waiting: u64,
    /// Events done since the beginning.
    pub done: u64,
}

/// The share that is kept, and what it is chosen by.
#[derive(Debug)]
pub struct Thinner {
    share: f64,
    /// The open heartbeat is dropped whole, or from here on.
    closed: bool,
    /// Since the share was chosen last: events offered, heartbeats, and events done by then.
    offered: u64,
    heartbeats: u32,
    done_then: u64,
    /// Events done when the open heartbeat opened.
    done_at_open: u64,
    /// Events that workers got done in the heartbeat before.
    speed: f64,
}

impl Default for Thinner {
    fn default() -> Thinner {
        Thinner {
            share: 1.0,
            closed: false,
            offered: 0,
            heartbeats: 0,
            done_then: 0,
            done_at_open: 0,
            speed: 0.0,
        }
    }
}

impl Thinner {
    /// Share of events that is kept, from 0 to 1.
    pub fn share(&self) -> f64 {
        if self.closed { 0.0 } else { self.share }
    }

    /// Whether everything is kept.
    pub fn idle(&self) -> bool {
        !self.closed && self.share >= 1.0
    }

    /// A heartbeat opens.
    pub fn open(&mut self, backlog: Backlog) {
        let done = backlog.done;
        self.done_at_open = done;
        self.heartbeats += 1;
        self.closed = backlog.heartbeats >= MOST;
        if self.closed {
            return;
        }
        let beats = f64::from(std::mem::take(&mut self.heartbeats));
        let offered = std::mem::take(&mut self.offered) as f64 / beats;
        let did = done.saturating_sub(std::mem::replace(&mut self.done_then, done)) as f64 / beats;
        self.speed = did;
        if backlog.heartbeats + 1 < MOST {
            // Carefully up again: a leap would only fill the backlog.
            self.share = (self.share * 1.1 + 0.002).min(1.0);
        } else if offered > 0.0 && backlog.waiting > 0 {
            self.share = (SLACK * did / offered).clamp(LEAST, self.share);
        }
    }

    /// Whether an event is kept. Every event that a source offers is to be asked about, once.
    pub fn keeps(&mut self, timestamp: u64) -> bool {
        self.offered += 1;
        !self.closed && (self.share >= 1.0 || fraction(timestamp) < self.share)
    }

    /// So many events were kept without being asked about, as all of them are.
    pub fn kept(&mut self, events: u64) {
        self.offered += events;
    }

    /// There is no more room: drops the rest of the open heartbeat.
    pub fn close(&mut self) {
        self.closed = true;
    }

    /// In an open heartbeat of which a part has passed: drops its rest if two heartbeats' worth
    /// of work already waits.
    pub fn check(&mut self, backlog: Backlog, passed: f64) {
        let speed = backlog.done.saturating_sub(self.done_at_open) as f64 / passed.max(EARLY);
        if backlog.waiting as f64 > 2.0 * speed.max(self.speed) {
            self.closed = true;
        }
    }
}

/// A number from 0 to 1 that depends on all bits of a timestamp: the finalizer of SplitMix64.
fn fraction(timestamp: u64) -> f64 {
    let mut x = timestamp.wrapping_add(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((x ^ (x >> 31)) >> 11) as f64 / (1u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::VecDeque;

    /// Workers that do so many events per heartbeat, behind a queue.
    struct Model {
        thinner: Thinner,
        capacity: f64,
        /// Events not done, by heartbeat.
        queue: VecDeque<(u64, f64)>,
        oldest: Vec<u64>,
        kept: Vec<Vec<u64>>,
        total: u64,
    }

    impl Model {
        fn new(capacity: f64) -> Model {
            let (queue, oldest, kept) = (VecDeque::new(), Vec::new(), Vec::new());
            Model { thinner: Thinner::default(), capacity, queue, oldest, kept, total: 0 }
        }

        fn backlog(&self) -> Backlog {
            let undone = self.queue.iter().map(|q| q.1).sum::<f64>().ceil() as u64;
            let in_hand = (self.capacity / 10.0) as u64;
            let waiting = undone.saturating_sub(in_hand);
            Backlog {
                heartbeats: self.queue.len(),
                waiting,
                done: self.total - undone.min(self.total),
            }
        }

        fn work(&mut self, mut events: f64) {
            while let Some(front) = self.queue.front_mut() {
                let done = front.1.min(events);
                front.1 -= done;
                events -= done;
                if front.1 > 1e-9 {
                    break;
                }
                self.queue.pop_front();
            }
        }

        /// A heartbeat of events that come evenly; returns their timestamps.
        fn heartbeat(&mut self, number: u64, offered: u64) -> Vec<u64> {
            self.thinner.open(self.backlog());
            let all: Vec<u64> = (0..offered).map(|i| number * 100_000_000 + i * 1000).collect();
            let mut kept = Vec::new();
            self.queue.push_back((number, 0.0));
            for (i, &timestamp) in all.iter().enumerate() {
                if i % 64 == 0 {
                    self.thinner.check(self.backlog(), i as f64 / offered as f64);
                }
                if self.thinner.keeps(timestamp) {
                    kept.push(timestamp);
                    self.total += 1;
                    self.queue.back_mut().unwrap().1 += 1.0;
                }
                // The open heartbeat stays even when it is done.
                let open = self.queue.pop_back().unwrap();
                let before = self.queue.iter().map(|q| q.1).sum::<f64>();
                let work = self.capacity / offered as f64;
                self.work(work);
                let rest = (work - before).max(0.0).min(open.1);
                self.queue.push_back((open.0, open.1 - rest));
            }
            if self.queue.back().is_some_and(|q| q.1 <= 1e-9) {
                self.queue.pop_back();
            }
            self.oldest.push(self.queue.front().map_or(0, |q| number - q.0));
            self.kept.push(kept);
            all
        }
    }

    #[test]
    fn everything_is_kept_while_workers_keep_up() {
        let mut model = Model::new(1000.0);
        for number in 0..50 {
            model.heartbeat(number, 990);
        }
        assert!(model.kept.iter().all(|k| k.len() == 990));
    }

    #[test]
    fn whatever_the_load_results_are_at_most_three_heartbeats_old() {
        for load in [1.2, 2.0, 3.0, 10.0, 100.0] {
            let mut model = Model::new(1000.0);
            for number in 0..20 {
                model.heartbeat(number, 900);
            }
            for number in 20..220 {
                model.heartbeat(number, (1000.0 * load) as u64);
            }
            let oldest = *model.oldest.iter().max().unwrap();
            assert!(oldest <= 3, "×{load}: {oldest} heartbeats old");
            // In the long run workers have most of what they can do.
            let kept: usize = model.kept[120..].iter().map(Vec::len).sum();
            assert!((60_000..=101_000).contains(&kept), "×{load}: {kept} of 100000");
            for number in 220..400 {
                model.heartbeat(number, 500);
            }
            assert_eq!(model.kept.last().unwrap().len(), 500, "×{load}: recovers");
        }
    }

    /// Pearson's statistic of counts against probabilities, with the number of degrees of freedom.
    fn chi_square(counts: &[f64], expected: &[f64]) -> (f64, f64) {
        let terms = counts.iter().zip(expected).map(|(c, e)| (c - e) * (c - e) / e);
        (terms.sum(), counts.len() as f64 - 1.0)
    }

    #[test]
    fn kept_events_are_spread_as_all_events_are() {
        let mut model = Model::new(1000.0);
        let all: Vec<Vec<u64>> = (0..300).map(|number| model.heartbeat(number, 3000)).collect();
        // From when the load is known: the first heartbeat is cut off.
        let (all, kept) = (all[50..].concat(), model.kept[50..].concat());
        let share = kept.len() as f64 / all.len() as f64;
        assert!((0.2..0.4).contains(&share), "{share}");
        // By place within the heartbeat, and by values that repeat with small periods, as those of
        // a laser that is off every seventh shot.
        type Place = fn(u64) -> usize;
        let bins: [(&str, Place, usize); 4] = [
            ("place", |t| (t % 100_000_000 / 1000 * 20 / 3000) as usize, 20),
            ("parity", |t| (t / 1000 % 2) as usize, 2),
            ("sevenths", |t| (t / 1000 % 7) as usize, 7),
            ("eighths", |t| (t / 1000 % 8) as usize, 8),
        ];
        for (what, bin, count) in bins {
            let mut seen = vec![0.0; count];
            let mut expected = vec![0.0; count];
            kept.iter().for_each(|t| seen[bin(*t)] += 1.0);
            all.iter().for_each(|t| expected[bin(*t)] += share);
            let (chi2, freedom) = chi_square(&seen, &expected);
            // Five standard deviations: the timestamps are fixed, so this never flickers.
            let limit = freedom + 5.0 * (2.0 * freedom).sqrt();
            assert!(chi2 < limit, "{what}: {chi2} for {freedom} degrees of freedom: {seen:?}");
        }
    }

    #[test]
    fn a_smaller_share_keeps_a_part_of_what_a_larger_one_keeps() {
        let kept = |share: f64| -> Vec<u64> {
            let mut thinner = Thinner { share, ..Thinner::default() };
            (0..10_000).filter(|t| thinner.keeps(t * 1_000_000)).collect()
        };
        let (small, large) = (kept(0.1), kept(0.4));
        assert!(small.iter().all(|t| large.contains(t)));
        assert!((800..1200).contains(&small.len()) && (3700..4300).contains(&large.len()));
    }
}
