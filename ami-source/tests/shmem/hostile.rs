//! Whatever a server writes and sends: nothing panics, nothing is lost that was right.

use super::bench::{BEGIN, Bench, begin, dgrams, event, options, tag};
use ami_shmem_server::{Server, most_events};
use ami_source::shmem::ShmemOptions;
use ami_source::source::Source;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;

fn started() -> Bench {
    let mut bench = Bench::connected(1, ShmemOptions::default());
    bench.serve(&dgrams("cam", &begin(0)));
    bench.transitions(&BEGIN);
    bench
}

#[test]
fn wrong_messages_and_datagrams_are_counted_and_their_buffers_given_back() {
    let mut bench = started();
    let good = dgrams("cam", &[event(10)]).remove(0);
    let all = most_events();
    let mut large = good.clone();
    large[20..24].copy_from_slice(&0x7fff_ffffu32.to_le_bytes());
    let mut beyond = good.clone();
    beyond[20..24].copy_from_slice(&(1u32 << 20).to_le_bytes());
    let mut small = good.clone();
    small[20..24].copy_from_slice(&11u32.to_le_bytes());
    for (n, wrong) in [large, beyond, small].iter().enumerate() {
        bench.server().event(wrong);
        bench.until("it", |b| b.count("bad_datagrams") == n as u64 + 1);
    }
    bench.server().event(&dgrams("cam", &[super::bench::Item::Set(super::bench::Enable, 9)])[0]);
    bench.until("a transition among the events", |b| b.count("wrong_channel") == 1);
    bench.until("all buffers", |b| b.server().free() == all);
    for (n, index) in [-1i32, i32::MAX, 255, i32::MIN].into_iter().enumerate() {
        let mut message = bench.server().message(0);
        message[..4].copy_from_slice(&index.to_le_bytes());
        assert!(bench.server().send_raw(0, &message));
        bench.until("it", |b| b.count("bad_messages") == n as u64 + 1);
    }
    bench.serve(&[good]);
    bench.events(1);
    assert_eq!(bench.server().counts.wrong, 0);
}

#[test]
fn a_datagram_that_changes_while_it_is_read_is_one_or_the_other() {
    let mut bench = started();
    let one = dgrams("cam", &[event(10)]).remove(0);
    let mut torn = one.clone();
    torn[20..24].copy_from_slice(&u32::MAX.to_le_bytes());
    for _ in 0..200 {
        bench.until("room", |b| b.server().free() == most_events());
        bench.server().event(&one);
        // Against every rule, the server writes into what it gave away.
        for index in 0..most_events() {
            bench.server().put(index, &torn);
            bench.server().put(index, &one);
        }
    }
    bench.until("all of them", |b| b.replay.events.len() as u64 + b.count("bad_datagrams") == 200);
}

#[test]
fn a_server_that_lies_in_its_hello_is_tried_again() {
    let tag = tag();
    let mut small = options(&tag, 1);
    small.size = 4096;
    // The memory is that of a server with smaller buffers: shorter than this one will say.
    drop(Server::start(small).unwrap());
    let mut bench = Bench::of(options(&tag, 1), ShmemOptions::default());
    bench.until("connection", |b| !b.source.lost());
    assert_eq!(bench.source.next().unwrap(), ami_source::source::Next::Pending);
}

#[test]
fn mutilated_datagrams_harm_nothing() {
    let mut bench = started();
    let mut sane = begin(0);
    sane.extend([event(10), event(20)]);
    let sane = dgrams("cam", &sane);
    let change = (0..sane.len(), any::<prop::sample::Index>(), any::<u32>(), 0usize..3);
    let changes = prop::collection::vec(change, 1..12);
    let config = ProptestConfig { cases: 64, failure_persistence: None, ..Default::default() };
    let mut runner = TestRunner::new(config);
    let cell = std::cell::RefCell::new(&mut bench);
    let done = runner.run(&changes, |changes| {
        let mut bench = cell.borrow_mut();
        for (which, place, word, kind) in changes {
            let mut dgram = sane[which].clone();
            let at = place.index(dgram.len() - 3);
            match kind {
                0 => dgram[at..at + 4].copy_from_slice(&word.to_le_bytes()),
                1 => dgram[at] ^= 1 << (word % 8),
                _ => dgram[20..24].copy_from_slice(&(word % 8192).to_le_bytes()),
            }
            bench.until("room", |b| b.server().has_room());
            match which < 4 {
                true => bench.server().transition(&dgram),
                false => bench.server().event(&dgram),
            }
            bench.take();
        }
        Ok(())
    });
    done.unwrap();
    // And it goes on. Stamps beyond all that garbage could have set.
    let bench = cell.into_inner();
    let before = bench.replay.events.len();
    bench.server = None;
    bench.until("the loss", |b| b.source.lost());
    bench.server = Some(Server::start(options(&bench.tag, 1)).unwrap());
    bench.until("the next life", |b| !b.source.lost());
    bench.serve(&sane);
    bench.until("events", |b| b.stamps().ends_with(&[10, 20]) && b.replay.events.len() > before);
}
