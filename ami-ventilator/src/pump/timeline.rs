//! Which heartbeat an event belongs to, and whether its timestamp can be believed. Pure.
//!
//! Data time places events; nothing here asks a clock. A timestamp far from the last one is set
//! aside until a few consistent ones follow, which then make a new time base; so neither a bad
//! stamp, nor a clock set back, nor a long pause wedges the stream.

/// What to do with the next event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// It belongs to the open heartbeat; so does what lies before `before`.
    Open {
        /// First timestamp of the next heartbeat.
        before: u64,
    },
    /// It opens this heartbeat: close the open one first, if any.
    Next {
        /// Number of the heartbeat.
        heartbeat: u64,
    },
    /// It is of a closed heartbeat: fold it into the open one, alone, and count it.
    Late,
    /// Not believed: drop it and count it.
    Quarantine,
    /// Confirmed by those before it: a new time base, a new segment, this heartbeat.
    NewBase {
        /// Number of the heartbeat.
        heartbeat: u64,
    },
}

/// How timestamps become heartbeats.
#[derive(Debug, Clone, Copy)]
pub struct Rules {
    /// Length of a heartbeat: ns, or events for counters.
    pub period: u64,
    /// A jump forward beyond this is not believed; None: any jump forward is (canned data).
    pub max_skew: Option<u64>,
    /// A jump back beyond this is not just late.
    pub max_back: u64,
    /// So many consistent stamps make a new time base.
    pub confirm: u32,
}

/// The time base of one epoch.
#[derive(Debug)]
pub struct Timeline {
    rules: Rules,
    /// Newest believed timestamp.
    last: Option<u64>,
    open: Option<u64>,
    /// Heartbeats below are closed.
    closed: u64,
    /// Of no heartbeat from here on was anything made. Beyond `closed` where one was parted.
    untouched: u64,
    /// Newest of the stamps set aside, and how many were consistent.
    aside: Option<(u64, u32)>,
}

impl Timeline {
    /// Before the first event.
    pub fn new(rules: Rules) -> Timeline {
        Timeline { rules, last: None, open: None, closed: 0, untouched: 0, aside: None }
    }

    /// Goes on after an earlier life: nothing below `earliest` is opened again.
    pub fn resume(&mut self, earliest: u64, newest: Option<u64>) {
        (self.closed, self.last) = (earliest, newest);
        // If it took anything, it may have made a part of that heartbeat.
        self.untouched = newest.map_or(earliest, |_| earliest.saturating_add(1));
    }

    /// Newest believed timestamp.
    pub fn newest(&self) -> Option<u64> {
        self.last
    }

    /// The open heartbeat.
    pub fn open(&self) -> Option<u64> {
        self.open
    }

    /// The first heartbeat that could still be opened.
    pub fn earliest(&self) -> u64 {
        self.open.map_or(self.closed, |h| h + 1)
    }

    /// The first heartbeat of which nothing was made yet: one that was parted may be opened again, but a
    /// part of it is gone out.
    pub fn untouched(&self) -> u64 {
        self.untouched.max(self.earliest())
    }

    /// Number of the heartbeat of a timestamp.
    pub fn heartbeat(&self, timestamp: u64) -> u64 {
        timestamp / self.rules.period
    }

    /// First timestamp of a heartbeat.
    pub fn start(&self, heartbeat: u64) -> u64 {
        heartbeat.saturating_mul(self.rules.period)
    }

    /// Opens a heartbeat; the one before is closed with it.
    pub fn enter(&mut self, heartbeat: u64) {
        self.closed = heartbeat;
        self.open = Some(heartbeat);
        self.untouched = heartbeat.saturating_add(1);
    }

    /// Closes all heartbeats before this one.
    pub fn skip(&mut self, heartbeat: u64) {
        (self.closed, self.open) = (heartbeat, None);
    }

    /// Closes the open heartbeat: what still comes of it is late.
    pub fn close(&mut self) {
        if let Some(open) = self.open.take() {
            self.closed = open + 1;
        }
    }

    /// Closes the open heartbeat but lets it be opened again: its rest belongs to a new segment.
    pub fn part(&mut self) {
        if let Some(open) = self.open.take() {
            self.closed = open;
        }
    }

    /// The newest event up to this timestamp was taken.
    pub fn took(&mut self, timestamp: u64) {
        self.last = Some(self.last.map_or(timestamp, |l| l.max(timestamp)));
        self.aside = None;
    }

    /// Starts a new time base: timestamps before it mean nothing for it.
    pub fn rebase(&mut self) {
        *self = Timeline::new(self.rules);
    }

    /// Where an event of this timestamp belongs. A stamp that is set aside is remembered.
    pub fn place(&mut self, timestamp: u64) -> Place {
        let heartbeat = self.heartbeat(timestamp);
        if let Some(last) = self.last
            && !self.plausible(last, timestamp)
        {
            return self.doubt(timestamp, heartbeat);
        }
        match self.open {
            Some(open) if heartbeat == open => Place::Open { before: self.start(open + 1) },
            Some(open) if heartbeat < open => Place::Late,
            None if heartbeat < self.closed => Place::Next { heartbeat: self.closed },
            _ => Place::Next { heartbeat },
        }
    }

    fn plausible(&self, last: u64, timestamp: u64) -> bool {
        if timestamp >= last {
            self.rules.max_skew.is_none_or(|skew| timestamp - last <= skew)
        } else {
            last - timestamp <= self.rules.max_back
        }
    }

    fn doubt(&mut self, timestamp: u64, heartbeat: u64) -> Place {
        let limit = self.rules.max_skew.unwrap_or(self.rules.max_back);
        let count = match self.aside {
            Some((newest, count)) if timestamp.abs_diff(newest) <= limit => count + 1,
            _ => 1,
        };
        if count >= self.rules.confirm {
            return Place::NewBase { heartbeat };
        }
        self.aside = Some((timestamp, count));
        Place::Quarantine
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules() -> Rules {
        Rules { period: 100, max_skew: Some(1000), max_back: 1000, confirm: 3 }
    }

    fn feed(timeline: &mut Timeline, stamps: &[u64]) -> Vec<Place> {
        let mut places = Vec::new();
        for &stamp in stamps {
            let place = timeline.place(stamp);
            match place {
                Place::Next { heartbeat } => timeline.enter(heartbeat),
                Place::NewBase { heartbeat } => {
                    timeline.rebase();
                    timeline.enter(heartbeat);
                }
                _ => {}
            }
            if place != Place::Quarantine {
                timeline.took(stamp);
            }
            places.push(place);
        }
        places
    }

    #[test]
    fn events_open_heartbeats_and_late_ones_are_folded() {
        let mut timeline = Timeline::new(rules());
        let places = feed(&mut timeline, &[150, 160, 205, 199, 203]);
        let open = Place::Open { before: 300 };
        assert_eq!(places[0], Place::Next { heartbeat: 1 });
        assert_eq!(places[1], Place::Open { before: 200 });
        assert_eq!(places[2..], [Place::Next { heartbeat: 2 }, Place::Late, open]);
    }

    #[test]
    fn one_wild_stamp_is_set_aside_and_nothing_follows_it() {
        let mut timeline = Timeline::new(rules());
        let places = feed(&mut timeline, &[150, 999_999, 160, u64::MAX, 0, 170]);
        let quarantined = places.iter().filter(|p| **p == Place::Quarantine).count();
        assert_eq!(quarantined, 2, "0 is within max_back of 160");
        assert_eq!(places[5], Place::Open { before: 200 });
    }

    #[test]
    fn a_clock_set_back_or_forward_is_a_new_base_after_three() {
        for base in [50_000u64, 5_000_000] {
            let mut timeline = Timeline::new(rules());
            let places = feed(&mut timeline, &[1_000_000, base, base + 10, base + 20, base + 30]);
            assert_eq!(places[1..3], [Place::Quarantine, Place::Quarantine]);
            assert_eq!(places[3], Place::NewBase { heartbeat: base / 100 });
            assert!(matches!(places[4], Place::Open { .. }));
        }
    }

    #[test]
    fn after_an_idle_close_the_rest_goes_into_the_next_heartbeat() {
        let mut timeline = Timeline::new(rules());
        feed(&mut timeline, &[150]);
        timeline.close();
        assert_eq!(timeline.place(160), Place::Next { heartbeat: 2 });
        let mut parted = Timeline::new(rules());
        feed(&mut parted, &[150]);
        parted.part();
        assert_eq!(parted.place(160), Place::Next { heartbeat: 1 });
    }

    #[test]
    fn what_was_begun_by_this_or_an_earlier_life_is_not_untouched() {
        let mut timeline = Timeline::new(rules());
        assert_eq!(timeline.untouched(), 0);
        feed(&mut timeline, &[150]);
        assert_eq!(timeline.untouched(), 2);
        timeline.part();
        assert_eq!((timeline.earliest(), timeline.untouched()), (1, 2));
        timeline.skip(7);
        assert_eq!((timeline.earliest(), timeline.untouched()), (7, 7));
        for (newest, untouched) in [(None, 0), (Some(0), 1)] {
            timeline = Timeline::new(rules());
            timeline.resume(0, newest);
            assert_eq!((timeline.earliest(), timeline.untouched()), (0, untouched));
        }
    }

    #[test]
    fn the_largest_stamp_does_not_overflow() {
        let mut timeline = Timeline::new(Rules { max_skew: None, ..rules() });
        let places = feed(&mut timeline, &[u64::MAX, u64::MAX]);
        assert_eq!(places[1], Place::Open { before: u64::MAX });
    }
}
