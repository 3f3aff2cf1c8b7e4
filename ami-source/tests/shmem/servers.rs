//! Servers that come and go, and clients beside ours.

use super::bench::{
    BEGIN, Bench, Disable, EndRun, EndStep, Item, begin, dgrams, event, options, tag,
};
use ami_shmem_server::reference::{Client, Taken};
use ami_shmem_server::{Server, most_events};
use ami_source::shmem::{ShmemOptions, ShmemSource};
use ami_source::source::{Next, Source};

#[test]
fn without_a_server_the_source_is_lost_and_pending() {
    let mut source = ShmemSource::open(&tag(), &ShmemOptions::default()).unwrap();
    assert!(source.lost());
    assert_eq!(source.next().unwrap(), Next::Pending);
    assert!(!source.canned() && source.wakes().is_some());
}

#[test]
fn a_server_that_dies_and_returns_is_found_again() {
    let mut bench = Bench::connected(1, ShmemOptions::default());
    for life in 0..3 {
        bench.until("connection", |b| b.server().clients() == 1 && !b.source.lost());
        // The same stamps again: it plays its file from the beginning.
        bench.serve(&dgrams("cam", &begin(0)));
        bench.serve(&dgrams("cam", &[event(10), event(20), event(30)]));
        bench.events(3 * (life + 1));
        bench.server = None;
        bench.until("the loss", |b| b.source.lost());
        bench.server = Some(Server::start(options(&bench.tag, 1)).unwrap());
    }
    let ends = [Disable, EndStep, EndRun];
    assert_eq!(bench.kinds(), [&BEGIN[..], &ends, &BEGIN, &ends, &BEGIN].concat());
    assert_eq!(bench.count("connections_lost"), 3);
    assert_eq!(bench.count("events_before_configure"), 0);
}

#[test]
fn what_was_read_before_the_server_died_is_delivered() {
    let mut bench = Bench::connected(1, ShmemOptions { hold: 8, ..Default::default() });
    let all = most_events() as u64;
    bench.serve(&dgrams("cam", &begin(0)));
    bench.transitions(&BEGIN);
    let many: Vec<Item> = (1..=all).map(|n| event(10 * n)).collect();
    for dgram in dgrams("cam", &many) {
        bench.server().event(&dgram);
    }
    for dgram in dgrams("cam", &[Item::Set(Disable, 1000)]) {
        bench.server().transition(&dgram);
    }
    bench.wait("the first", |b| matches!(b.source.next(), Ok(Next::Event(_))));
    bench.wait("it to hold all", |b| b.server().unread() == 0);
    bench.server = None;
    bench.wait("the loss", |b| b.source.lost());
    bench.server = Some(Server::start(options(&bench.tag, 1)).unwrap());
    bench.wait("the next life", |b| !b.source.lost());
    // What is given back now belongs to the last life, not to this.
    bench.events(all as usize);
    bench.serve(&dgrams("cam", &begin(2000)));
    bench.serve(&dgrams("cam", &[event(2010)]));
    bench.events(all as usize + 1);
    assert_eq!(bench.server().counts.wrong, 0);
    assert_eq!(bench.kinds()[4], Disable);
}

#[test]
fn a_discovery_message_that_somebody_else_took_is_waited_for() {
    let mut bench = Bench::new(2, ShmemOptions::default());
    // Whoever is first; if ours was, it is connected and another message lies there.
    let port = Client::discover(&bench.tag);
    let ours = bench.server().clients() == 1;
    if let (Some(port), false) = (port, ours) {
        for _ in 0..20 {
            bench.take();
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
        assert!(bench.source.lost(), "nobody tells it where");
        // The other one connects after all, and the server speaks again.
        let other = std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
        bench.until("connection", |b| !b.source.lost());
        drop(other);
    }
    bench.until("connection", |b| !b.source.lost());
}

#[test]
fn a_client_without_a_place_gets_one_when_another_leaves() {
    let tag = tag();
    let mut server = Server::start(options(&tag, 1)).unwrap();
    let asked = std::thread::spawn({
        let tag = tag.clone();
        move || Client::connect(&tag).unwrap()
    });
    while server.clients() == 0 {
        server.poll();
        std::thread::yield_now();
    }
    let other = asked.join().unwrap();
    let source = ShmemSource::open(&tag, &ShmemOptions::default()).unwrap();
    let mut bench =
        Bench { tag, queues: 1, server: Some(server), source, replay: Default::default() };
    bench.until("a refusal", |b| b.count("rejected_by_server") > 0);
    assert!(bench.source.lost());
    drop(other);
    bench.until("its place", |b| !b.source.lost());
}

#[test]
fn a_place_that_nobody_has_takes_its_share_until_it_is_full() {
    let mut bench = Bench::connected(2, ShmemOptions::default());
    bench.serve(&dgrams("cam", &begin(0)));
    bench.transitions(&BEGIN);
    let items: Vec<Item> = (1..=200).map(|n| event(10 * n)).collect();
    bench.serve(&dgrams("cam", &items));
    let stuck = most_events() / 2;
    bench.events(200 - stuck);
    assert!(bench.stamps().is_sorted());
}

#[test]
fn in_serial_mode_every_client_gets_every_event() {
    let tag = tag();
    let mut options = options(&tag, 2);
    options.serial = true;
    let mut bench = Bench::of(options, ShmemOptions::default());
    bench.until("connection", |b| !b.source.lost());
    let asked = std::thread::spawn(move || Client::connect(&tag).unwrap());
    bench.until("the other", |_| asked.is_finished());
    let mut other = asked.join().unwrap();
    bench.serve(&dgrams("cam", &begin(0)));
    let items: Vec<Item> = (1..=50).map(|n| event(10 * n)).collect();
    let mut theirs = 0;
    for dgram in dgrams("cam", &items) {
        bench.until("room", |b| b.server().has_room());
        bench.server().event(&dgram);
        loop {
            bench.take();
            match other.take() {
                Taken::Event(_) => break,
                Taken::End => panic!("the server is there"),
                Taken::Transition(_) | Taken::Nothing => {}
            }
        }
        theirs += 1;
    }
    bench.events(50);
    assert_eq!(theirs, 50);
    bench.until("all buffers", |b| b.server().free() == most_events());
    assert_eq!(bench.server().counts.wrong, 0);
}

#[test]
fn in_serial_mode_one_client_is_enough() {
    let mut options = options(&tag(), 2);
    options.serial = true;
    let mut bench = Bench::of(options, ShmemOptions { clients: 2, ..Default::default() });
    bench.until("connection", |b| !b.source.lost());
    bench.serve(&dgrams("cam", &begin(0)));
    bench.transitions(&BEGIN);
    let items: Vec<Item> = (1..=50).map(|n| event(10 * n)).collect();
    for (n, dgram) in dgrams("cam", &items).iter().enumerate() {
        // What it gives back goes on to the next place, where nobody is, and is taken from there.
        bench.server().event(dgram);
        bench.events(n + 1);
    }
    assert_eq!(bench.count("connections"), 1);
    assert_eq!(bench.server().counts.wrong, 0);
}
