//! Races between the two channels, and between clients and server.

use super::bench::{
    BEGIN, BeginRun, BeginStep, Bench, Configure, Disable, Enable, EndRun, EndStep, Item, START,
    SlowUpdate, Unconfigure, begin, dgrams, event, options,
};
use ami_graph::data::value::{Scalar, Value};
use ami_shmem_server::{Server, most_events};
use ami_source::shmem::{ShmemOptions, ShmemSource};
use ami_source::source::{Next, Source};

fn started() -> Bench {
    let mut bench = Bench::connected(1, ShmemOptions::default());
    bench.serve(&dgrams("cam", &begin(0)));
    bench.transitions(&BEGIN);
    bench
}

#[test]
fn events_that_are_read_after_the_end_of_their_step_are_of_that_step() {
    let mut bench = started();
    let ends = [Item::Set(Disable, 100), Item::Set(EndStep, 101)];
    let next = [Item::Set(BeginStep, 110), Item::Set(Enable, 111)];
    for dgram in dgrams("cam", &ends) {
        bench.server().transition(&dgram);
    }
    // The transitions are read before these are there.
    bench.wait("them to be given back", |b| b.server().unreturned() == 0);
    for dgram in dgrams("cam", &[event(10), event(20), event(30)]) {
        bench.server().event(&dgram);
    }
    bench.wait("these to be read", |b| b.server().free() == most_events());
    bench.events(3);
    for dgram in dgrams("cam", &next) {
        bench.server().transition(&dgram);
    }
    bench.transitions(&[
        Configure, BeginRun, BeginStep, Enable, Disable, EndStep, BeginStep, Enable,
    ]);
    bench.serve(&dgrams("cam", &[event(120)]));
    bench.events(4);
    assert_eq!(bench.replay.order.concat(), "TTTTeeeTTTTe");
    assert_eq!(bench.count("events_of_closed_steps"), 0);
}

/// A source that does not look for long, while an event before a transition lies there.
fn a_slow_source() -> String {
    let mut bench = started();
    bench.serve(&dgrams("cam", &[event(10)]));
    bench.events(1);
    for dgram in dgrams("cam", &[Item::Set(Disable, 100)]) {
        bench.server().transition(&dgram);
    }
    bench.wait("it", |b| b.source.next().is_ok() && b.source.due_in().is_some());
    for dgram in dgrams("cam", &[event(20)]) {
        bench.server().event(&dgram);
    }
    bench.wait("the event to be read", |b| b.server().free() == most_events());
    // Longer than a transition waits.
    std::thread::sleep(std::time::Duration::from_millis(300));
    bench.until("both", |b| b.replay.transitions.len() == 5);
    bench.replay.order.concat()
}

#[test]
fn the_time_of_a_slow_source_is_not_taken_for_silence() {
    // On a busy machine the event itself may come too late.
    assert!((0..5).any(|_| a_slow_source() == "TTTTeeT"));
}

#[test]
fn what_is_older_than_a_step_that_was_closed_is_counted() {
    let mut bench = started();
    bench.serve(&dgrams("cam", &[event(10), Item::Set(Disable, 100), Item::Set(EndStep, 101)]));
    let closed = [Configure, BeginRun, BeginStep, Enable, Disable, EndStep];
    bench.transitions(&closed);
    bench.serve(&dgrams("cam", &[event(20)]));
    bench.until("the late one", |b| b.count("events_of_closed_steps") == 1);
    bench.serve(&dgrams("cam", &[Item::Set(BeginStep, 110), Item::Set(Enable, 111), event(115)]));
    bench.events(2);
    assert_eq!(bench.stamps(), [10, 115]);
}

#[test]
fn held_values_change_at_their_time() {
    let mut bench = started();
    bench.serve(&dgrams("cam", &[event(10)]));
    for dgram in dgrams("cam", &[Item::Set(SlowUpdate, 50)]) {
        bench.server().transition(&dgram);
    }
    for dgram in dgrams("cam", &[event(20), event(49), event(50), event(60)]) {
        bench.server().event(&dgram);
    }
    bench.wait("all to be read", |b| b.server().free() == most_events());
    bench.events(5);
    assert_eq!(bench.replay.order.concat(), "TTTTeeeTee");
    let held = &bench.replay.transitions.last().unwrap().held;
    assert_eq!(held[..], [(2, Value::Scalar(Scalar::F64(50.0)))]);
}

#[test]
fn a_late_joiner_is_told_the_present_state() {
    let tag = super::bench::tag();
    let mut server = Server::start(options(&tag, 1)).unwrap();
    // Nobody is there yet: these lie in the queue, some of another step.
    let mut items = begin(0);
    items.extend([event(10), Item::Set(Disable, 20), Item::Set(EndStep, 21)]);
    items.extend([Item::Set(BeginStep, 30), Item::Set(Enable, 31), event(40), event(50)]);
    let dgrams = dgrams("cam", &items);
    for dgram in &dgrams {
        match ami_shmem_server::dgram::is_event(dgram) {
            true => server.event(dgram),
            false => server.transition(dgram),
        }
    }
    let source = ShmemSource::open(&tag, &ShmemOptions::default()).unwrap();
    let replay = Default::default();
    let mut bench = Bench { tag, queues: 1, server: Some(server), source, replay };
    bench.events(2);
    assert_eq!((bench.kinds(), bench.stamps()), (BEGIN.to_vec(), vec![40, 50]));
    assert_eq!(bench.replay.transitions[2].timestamp, START + 30);
}

#[test]
fn a_state_that_is_told_again_changes_nothing() {
    let mut bench = started();
    bench.serve(&dgrams("cam", &[event(10)]));
    bench.events(1);
    bench.server().tell_again();
    bench.until("the repetition", |b| b.count("repeated_transitions") == 4);
    bench.serve(&dgrams("cam", &[event(20)]));
    bench.events(2);
    assert_eq!(bench.kinds(), BEGIN);
    // One that was missed is news.
    bench.serve(&dgrams("cam", &[Item::Set(BeginStep, 30)]));
    bench.transitions(&[Configure, BeginRun, BeginStep, Enable, BeginStep]);
}

#[test]
fn a_configure_at_any_time_ends_what_was_open_and_renames() {
    let mut bench = started();
    bench.serve(&dgrams("cam", &[event(10), event(20)]));
    bench.serve(&dgrams("other", &begin(100)));
    bench.serve(&dgrams("other", &[event(110)]));
    bench.events(3);
    let ends = [Disable, EndStep, EndRun];
    assert_eq!(bench.kinds(), [&BEGIN[..], &ends, &BEGIN].concat());
    assert_eq!(bench.count("transitions_made_up"), 3);
    assert_eq!(bench.replay.value(2, "other:raw:x"), Some(&Value::Scalar(Scalar::F64(110.0))));
    assert_eq!(bench.replay.transitions[4].timestamp, bench.replay.events[1].timestamp);
}

#[test]
fn a_recording_that_is_played_again_goes_on_in_order() {
    for ended in [true, false] {
        let mut bench = Bench::connected(1, ShmemOptions::default());
        let mut items = begin(0);
        items.extend((1..20).map(|n| event(10 * n)));
        if ended {
            let ends = [Disable, EndStep, EndRun, Unconfigure];
            items.extend(ends.into_iter().map(|kind| Item::Set(kind, 1000)));
        }
        let pass = dgrams("cam", &items);
        for n in 1..=3 {
            bench.serve(&pass);
            bench.events(19 * n);
        }
        let once: Vec<u64> = (1..20).map(|n| 10 * n).collect();
        assert_eq!(bench.stamps(), once.repeat(3), "ended: {ended}");
        let configures = bench.kinds().iter().filter(|k| **k == Configure).count();
        assert_eq!(configures, if ended { 3 } else { 1 }, "{:?}", bench.kinds());
    }
}

#[test]
fn the_oldest_events_are_stolen_from_one_who_does_not_read() {
    let mut bench = Bench::connected(1, ShmemOptions { hold: 2, ..Default::default() });
    bench.serve(&dgrams("cam", &begin(0)));
    bench.transitions(&BEGIN);
    for dgram in dgrams("cam", &[event(10), event(20)]) {
        bench.server().event(&dgram);
    }
    // It holds two, and reads no more.
    let left = most_events() - 2;
    bench.wait("them to be held", |b| b.server().unread() == 0);
    let many: Vec<Item> = (3..30).map(|n| event(10 * n)).collect();
    for dgram in dgrams("cam", &many) {
        bench.server().event(&dgram);
    }
    assert_eq!(bench.server().free(), 0);
    let stolen = bench.server().counts.stolen;
    bench.events(29 - stolen as usize);
    let stamps = bench.stamps();
    assert_eq!(stamps[..2], [10, 20]);
    assert!(stamps.len() == 2 + left && stamps.is_sorted(), "{stamps:?}");
    assert_eq!(stamps.last(), Some(&290));
    bench.until("all buffers to be back", |b| b.server().free() == most_events());
    assert_eq!(bench.server().counts.wrong, 0);
}

#[test]
fn a_held_buffer_goes_back_when_its_event_is_written_or_skipped() {
    let mut bench = Bench::connected(1, ShmemOptions { hold: 3, ..Default::default() });
    bench.serve(&dgrams("cam", &begin(0)));
    bench.transitions(&BEGIN);
    for dgram in dgrams("cam", &[event(10), event(20)]) {
        bench.server().event(&dgram);
    }
    let all = most_events();
    bench.wait("the first", |b| matches!(b.source.next(), Ok(Next::Event(_))));
    assert_eq!(bench.server().free(), all - 2);
    bench.source.skip();
    bench.wait("one buffer", |b| b.server().free() == all - 1);
    bench.events(1);
    bench.wait("the other", |b| b.server().free() == all);
    assert_eq!(bench.stamps(), [20]);
}

#[test]
fn gaps_are_counted_by_pulse_id() {
    let mut bench = started();
    let pulses = [(10, 1000), (20, 1010), (30, 1020), (40, 1050)].map(|(t, p)| Item::Event(t, p));
    bench.serve(&dgrams("cam", &pulses));
    bench.events(4);
    assert_eq!((bench.count("pulse_gaps"), bench.count("pulses_missing")), (1, 2));
    // What the ventilator leaves out was there.
    bench.serve(&dgrams("cam", &[Item::Event(50, 1060)]));
    bench.wait("it", |b| matches!(b.source.next(), Ok(Next::Event(_))));
    bench.source.skip();
    bench.serve(&dgrams("cam", &[Item::Event(60, 1070)]));
    bench.events(5);
    assert_eq!((bench.count("pulse_gaps"), bench.count("pulses_missing")), (1, 2));
}
