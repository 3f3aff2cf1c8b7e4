//! Parts of a train that come by several endpoints, put together by its number. Pure.
//!
//! Trains leave in the order of their numbers: when every endpoint has given its part or gone beyond it,
//! when its parts have waited long enough, or when too many wait. An endpoint that says nothing is not
//! waited for until it speaks again.

use std::collections::BTreeMap;

/// What is waited for.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Longest wait for a part, ns.
    pub wait_ns: u64,
    /// Trains that wait.
    pub trains: usize,
    /// Bytes that wait.
    pub bytes: usize,
}

/// What was counted.
#[derive(Debug, Default, Clone, Copy)]
pub struct Counts {
    /// Trains that left without a part of each living endpoint.
    pub incomplete: u64,
    /// Parts of trains that had left: they were dropped.
    pub late: u64,
    /// Endpoints whose numbers went back: they began anew.
    pub resets: u64,
}

/// An endpoint, as far as it was heard.
#[derive(Debug, Default, Clone, Copy)]
struct Endpoint {
    newest: Option<u64>,
    heard_ns: u64,
}

#[derive(Debug)]
struct Waiting<M> {
    messages: Vec<M>,
    from: Vec<bool>,
    bytes: usize,
    since_ns: u64,
}

/// See the module's documentation.
#[derive(Debug)]
pub struct Matching<M> {
    limits: Limits,
    endpoints: Vec<Endpoint>,
    waiting: BTreeMap<u64, Waiting<M>>,
    bytes: usize,
    /// The newest train that left.
    left: Option<u64>,
    begun: bool,
    pub counts: Counts,
}

impl<M> Matching<M> {
    /// Of so many endpoints.
    pub fn new(endpoints: usize, limits: Limits) -> Matching<M> {
        Matching {
            limits,
            endpoints: vec![Endpoint::default(); endpoints],
            waiting: BTreeMap::new(),
            bytes: 0,
            left: None,
            begun: false,
            counts: Counts::default(),
        }
    }

    /// A part came by an endpoint. Trains that are ready are added to `out`.
    pub fn on(
        &mut self,
        (from, train): (usize, u64),
        message: M,
        bytes: usize,
        now_ns: u64,
        out: &mut Vec<Vec<M>>,
    ) {
        if !std::mem::replace(&mut self.begun, true) {
            // The others may only be about to begin.
            self.endpoints.iter_mut().for_each(|endpoint| endpoint.heard_ns = now_ns);
        }
        let Some(endpoint) = self.endpoints.get_mut(from) else { return };
        let anew = endpoint.newest.is_some_and(|newest| train < newest);
        *endpoint = Endpoint { newest: Some(train), heard_ns: now_ns };
        if self.left.is_some_and(|left| train <= left) {
            if !anew {
                self.counts.late += 1;
                return;
            }
            // Its numbers begin again: those of the others will, too.
            self.counts.resets += 1;
            self.flush(out);
            self.left = None;
            for (at, endpoint) in self.endpoints.iter_mut().enumerate() {
                if at != from {
                    endpoint.newest = None;
                }
            }
        }
        let count = self.endpoints.len();
        let waiting = self.waiting.entry(train).or_insert_with(|| Waiting {
            messages: Vec::new(),
            from: vec![false; count],
            bytes: 0,
            since_ns: now_ns,
        });
        waiting.messages.push(message);
        waiting.from[from] = true;
        waiting.bytes += bytes;
        self.bytes += bytes;
        self.release(now_ns, out);
    }

    /// Lets go what has waited long enough.
    pub fn release(&mut self, now_ns: u64, out: &mut Vec<Vec<M>>) {
        while let Some((&train, waiting)) = self.waiting.first_key_value() {
            let over = now_ns.saturating_sub(waiting.since_ns) >= self.limits.wait_ns;
            let full = self.waiting.len() > self.limits.trains || self.bytes > self.limits.bytes;
            if !over && !full && !self.complete(train, waiting, now_ns) {
                return;
            }
            self.let_go(out);
        }
    }

    /// Nothing more is to be expected of this train.
    fn complete(&self, train: u64, waiting: &Waiting<M>, now_ns: u64) -> bool {
        self.endpoints.iter().zip(&waiting.from).all(|(endpoint, there)| {
            let beyond = endpoint.newest.is_some_and(|newest| newest > train);
            let silent = now_ns.saturating_sub(endpoint.heard_ns) > self.limits.wait_ns;
            *there || beyond || silent
        })
    }

    fn let_go(&mut self, out: &mut Vec<Vec<M>>) {
        let Some((train, waiting)) = self.waiting.pop_first() else { return };
        self.bytes -= waiting.bytes;
        self.left = Some(train);
        self.counts.incomplete += u64::from(!waiting.from.iter().all(|there| *there));
        out.push(waiting.messages);
    }

    fn flush(&mut self, out: &mut Vec<Vec<M>>) {
        while !self.waiting.is_empty() {
            self.let_go(out);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LIMITS: Limits = Limits { wait_ns: 100, trains: 10, bytes: 1000 };

    fn feed(matching: &mut Matching<(usize, u64)>, parts: &[(usize, u64, u64)]) -> Vec<u64> {
        let mut out = Vec::new();
        for &(from, train, now) in parts {
            matching.on((from, train), (from, train), 10, now, &mut out);
        }
        out.iter().map(|train| train[0].1 * 10 + train.len() as u64).collect()
    }

    #[test]
    fn a_train_leaves_when_all_its_parts_are_there() {
        let mut matching = Matching::new(2, LIMITS);
        let left = feed(&mut matching, &[(0, 1, 0), (0, 2, 0), (1, 1, 5), (1, 2, 6), (0, 3, 7)]);
        assert_eq!(left, [12, 22]);
        let mut out = Vec::new();
        matching.release(8, &mut out);
        assert!(out.is_empty());
        matching.release(107, &mut out);
        assert_eq!((out.len(), matching.counts.incomplete), (1, 1));
    }

    #[test]
    fn who_went_beyond_or_says_nothing_is_not_waited_for() {
        let mut matching = Matching::new(2, LIMITS);
        let parts = [(0, 1, 0), (1, 1, 0), (0, 2, 1), (1, 3, 2), (0, 3, 3)];
        assert_eq!(feed(&mut matching, &parts), [12, 21, 32]);
        assert_eq!(feed(&mut matching, &[(0, 4, 200), (0, 5, 201)]), [41, 51], "1 is silent");
        assert_eq!(feed(&mut matching, &[(1, 5, 202), (1, 6, 203), (0, 6, 204)]), [62]);
        assert_eq!(matching.counts.late, 1);
    }

    #[test]
    fn numbers_that_begin_again_are_a_new_beginning() {
        let mut matching = Matching::new(2, LIMITS);
        feed(&mut matching, &[(0, 100, 0), (1, 100, 0)]);
        let left = feed(&mut matching, &[(0, 1, 10), (1, 1, 11), (0, 2, 12), (1, 2, 13)]);
        assert_eq!(left, [12, 22]);
        assert_eq!((matching.counts.resets, matching.counts.late), (1, 0));
    }

    proptest! {
        #[test]
        fn nothing_is_lost_but_what_is_late_and_memory_is_bounded(
            parts in proptest::collection::vec((0usize..3, 0u64..50, 0u64..40), 0..200),
        ) {
            let mut matching = Matching::new(3, LIMITS);
            let (mut now, mut out) = (0, Vec::new());
            for &(from, train, step) in &parts {
                now += step;
                matching.on((from, train), (), 10, now, &mut out);
                prop_assert!(matching.waiting.len() <= LIMITS.trains);
            }
            matching.release(now + 1000, &mut out);
            let left: usize = out.iter().map(Vec::len).sum();
            prop_assert_eq!(left as u64 + matching.counts.late, parts.len() as u64);
            prop_assert_eq!(matching.bytes, 0);
        }
    }
}
