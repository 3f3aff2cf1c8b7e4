//! Tests of the order: races of two channels, as sequences of what is read when.

use crate::shmem::order::{Arrival, Order, SETTLE_NS, Turn};
use crate::shmem::tally::Tallies;
use crate::xtc2::counts::{Count, Counts};
use crate::xtc2::dgram::{HEADER, Header};
use proptest::prelude::*;

const CONFIGURE: u8 = 2;
const BEGIN_RUN: u8 = 4;
const END_RUN: u8 = 5;
const BEGIN_STEP: u8 = 6;
const END_STEP: u8 = 7;
const ENABLE: u8 = 8;
const DISABLE: u8 = 9;
const SLOW_UPDATE: u8 = 10;
const EVENT: u8 = 12;

type Mark = (u8, u64);

fn header((service, timestamp): Mark) -> Header {
    let mut bytes = [0; HEADER];
    bytes[..4].copy_from_slice(&(timestamp as u32).to_le_bytes());
    bytes[4..8].copy_from_slice(&((timestamp >> 32) as u32).to_le_bytes());
    bytes[11] = service;
    Header::parse(&bytes).unwrap()
}

#[derive(Default)]
struct Bench {
    order: Order<()>,
    counts: Counts,
    tallies: Tallies,
    now_ns: u64,
    session: u64,
    out: Vec<Mark>,
}

impl Bench {
    fn new() -> Bench {
        Bench { now_ns: 1_000_000_000, session: 1, ..Bench::default() }
    }

    fn read(&mut self, client: usize, mark: Mark) {
        let (session, at_ns, header) = (self.session, self.now_ns, header(mark));
        let arrival = Arrival { session, client, header, at_ns, body: () };
        match mark.0 {
            EVENT => self.order.event(arrival),
            _ => self.order.transition(arrival),
        }
    }

    /// Takes all that is due; how long is waited for the next, if for anything.
    fn take(&mut self) -> Option<u64> {
        loop {
            let drop = |_, ()| ();
            match self.order.decide(
                (self.now_ns, self.now_ns),
                &mut self.counts,
                &self.tallies,
                drop,
            ) {
                Turn::Wait(left) => return left,
                Turn::Event(header) => {
                    self.out.push((EVENT, header.timestamp()));
                    self.order.take_event().unwrap();
                }
                Turn::Transition(_, header) => {
                    self.out.push((header.service(), header.timestamp()));
                    self.order.take_transition().unwrap();
                }
            }
        }
    }

    fn all(&mut self, client: usize, marks: &[Mark]) -> Option<u64> {
        marks.iter().for_each(|mark| self.read(client, *mark));
        self.take()
    }

    fn count(&self, name: &str) -> u64 {
        self.tallies.list().iter().find(|(n, _)| *n == name).unwrap().1
    }
}

const BEGIN: [Mark; 4] = [(CONFIGURE, 1), (BEGIN_RUN, 2), (BEGIN_STEP, 3), (ENABLE, 4)];

#[test]
fn a_transition_waits_until_no_event_has_come_for_a_while() {
    let mut bench = Bench::new();
    assert_eq!(bench.all(0, &BEGIN), None, "nothing is waited for where nothing flows");
    bench.all(0, &[(EVENT, 10)]);
    bench.now_ns += 7;
    assert_eq!(bench.all(0, &[(DISABLE, 100)]), Some(SETTLE_NS));
    bench.now_ns += SETTLE_NS / 2;
    assert_eq!(bench.all(0, &[(EVENT, 20)]), Some(SETTLE_NS), "each event may be followed by one");
    bench.now_ns += SETTLE_NS - 1;
    assert_eq!(bench.take(), Some(1));
    bench.now_ns += 1;
    assert_eq!(bench.take(), None);
    assert_eq!(bench.out[4..], [(EVENT, 10), (EVENT, 20), (DISABLE, 100)]);
    // What was waited for once is not waited for again.
    assert_eq!(bench.all(0, &[(END_STEP, 101), (BEGIN_STEP, 110), (ENABLE, 111)]), None);
    bench.all(0, &[(EVENT, 30), (EVENT, 120)]);
    assert_eq!(bench.count("events_of_closed_steps"), 1);
    assert_eq!(bench.out.last(), Some(&(EVENT, 120)));
}

#[test]
fn an_event_that_is_not_older_ends_the_wait() {
    let mut bench = Bench::new();
    bench.all(0, &BEGIN);
    assert!(bench.all(0, &[(EVENT, 10), (SLOW_UPDATE, 50)]).is_some());
    assert_eq!(bench.all(0, &[(EVENT, 50)]), None);
    assert_eq!(bench.out[4..], [(EVENT, 10), (SLOW_UPDATE, 50), (EVENT, 50)]);
}

#[test]
fn an_event_where_none_is_expected_waits_for_what_enables_it() {
    let mut bench = Bench::new();
    bench.all(0, &BEGIN[..3]);
    assert_eq!(bench.all(0, &[(EVENT, 10)]), Some(SETTLE_NS));
    bench.all(0, &BEGIN[3..]);
    assert_eq!(bench.out[2..], [(BEGIN_STEP, 3), (ENABLE, 4), (EVENT, 10)]);
    // In recordings without Enable it waits once.
    let mut bench = Bench::new();
    assert!(bench.all(0, &[(CONFIGURE, 1), (EVENT, 10), (EVENT, 20)]).is_some());
    bench.now_ns += SETTLE_NS;
    assert_eq!(bench.take(), None);
    assert_eq!(bench.out.len(), 3);
}

#[test]
fn of_two_clients_both_are_waited_for_but_not_for_ever() {
    let mut bench = Bench::new();
    bench.all(0, &BEGIN);
    bench.all(1, &BEGIN);
    bench.all(1, &[(EVENT, 10)]);
    bench.now_ns += 5;
    assert!(bench.all(0, &[(SLOW_UPDATE, 50), (EVENT, 60)]).is_some());
    bench.all(1, &[(EVENT, 40)]);
    assert_eq!(bench.out[4..], [(EVENT, 10), (EVENT, 40)]);
    for at in 61..70 {
        bench.now_ns += SETTLE_NS / 9 + 1;
        bench.all(0, &[(EVENT, at)]);
    }
    assert_eq!(bench.out[6..8], [(SLOW_UPDATE, 50), (EVENT, 60)]);
    assert_eq!(bench.out.len(), 4 + 2 + 1 + 10);
}

#[test]
fn every_client_is_told_all_and_one_tells_it() {
    let mut bench = Bench::new();
    let run =
        |at: u64| [(BEGIN_RUN, at), (BEGIN_STEP, at + 1), (END_STEP, at + 2), (END_RUN, at + 3)];
    // The first client is far ahead of the second, beyond a run of the same stamps.
    bench.all(0, &[(CONFIGURE, 1)]);
    bench.all(0, &run(10));
    bench.all(0, &run(10));
    bench.all(1, &[(CONFIGURE, 1)]);
    bench.all(1, &run(10));
    bench.all(1, &run(10));
    bench.all(1, &run(20));
    bench.all(0, &run(20));
    let expected: Vec<Mark> = [&[(CONFIGURE, 1)][..], &run(10), &run(10), &run(20)].concat();
    assert_eq!(bench.out, expected);
    assert_eq!(bench.count("repeated_transitions"), 0);
}

#[test]
fn another_life_of_the_server_begins_with_configure() {
    let mut bench = Bench::new();
    bench.all(0, &[(BEGIN_STEP, 3), (EVENT, 5)]);
    assert_eq!(bench.count("transitions_before_configure"), 1);
    assert_eq!(bench.count("events_before_configure"), 1);
    bench.all(0, &BEGIN);
    bench.all(0, &[(EVENT, 10), (DISABLE, 100)]);
    bench.session = 2;
    bench.order.living(2);
    // Nothing more can come of the last life: what waits for that waits no more.
    assert_eq!(bench.take(), None);
    assert_eq!(bench.out.last(), Some(&(DISABLE, 100)));
    bench.all(0, &BEGIN);
    bench.all(0, &[(EVENT, 10)]);
    assert_eq!(bench.out[6..], [&BEGIN[..], &[(EVENT, 10)]].concat());
}

#[test]
fn services_without_use_are_counted() {
    let mut bench = Bench::new();
    bench.all(0, &[(0, 1), (1, 2), (15, 3)]);
    assert_eq!((bench.counts.get(Count::OtherServices), bench.out.len()), (3, 0));
}

/// Steps with events and slow updates, in the order of their stamps.
fn stream(steps: &[Vec<bool>]) -> Vec<Mark> {
    let mut marks = vec![(CONFIGURE, 1), (BEGIN_RUN, 2)];
    let mut at = 2;
    let mut push = |service| {
        at += 1;
        marks.push((service, at));
    };
    for step in steps {
        push(BEGIN_STEP);
        push(ENABLE);
        step.iter().for_each(|event| push(if *event { EVENT } else { SLOW_UPDATE }));
        push(DISABLE);
        push(END_STEP);
    }
    push(END_RUN);
    marks
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]
    /// Transitions are read when they are sent; events any time later, each before its successor and
    /// within the time that is waited.
    #[test]
    fn however_late_events_are_read_the_order_is_that_of_the_stamps(
        steps in prop::collection::vec(prop::collection::vec(prop::bool::weighted(0.8), 0..8), 1..6),
        late in prop::collection::vec(0usize..6, 64),
    ) {
        let marks = stream(&steps);
        let mut bench = Bench::new();
        let mut waiting = std::collections::VecDeque::new();
        let mut late = late.iter().cycle();
        for mark in &marks {
            match mark.0 {
                EVENT => waiting.push_back((*mark, *late.next().unwrap())),
                _ => bench.read(0, *mark),
            }
            bench.take();
            bench.now_ns += SETTLE_NS / 64;
            waiting.iter_mut().for_each(|(_, left)| *left = left.saturating_sub(1));
            while waiting.front().is_some_and(|(_, left)| *left == 0) {
                let (event, _) = waiting.pop_front().unwrap();
                bench.read(0, event);
                bench.take();
            }
        }
        for (event, _) in waiting {
            bench.read(0, event);
        }
        bench.now_ns += 2 * SETTLE_NS;
        bench.take();
        prop_assert_eq!(bench.out, marks);
    }
}
