//! Damaged and forged messages on every socket of every daemon: none dies, memory stays, and what is
//! only damaged disturbs nothing. `AMI_GARBAGE` says how many for each socket (2000 unless set).

use ami_tests::chaos::garbage::Garbage;
use ami_tests::chaos::{Options, stream};
use ami_tests::{System, until};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Memory of its own that a daemon may take more than before, whatever it is sent.
const GROWTH: u64 = 64 << 20;

fn messages() -> u64 {
    std::env::var("AMI_GARBAGE").ok().and_then(|n| n.parse().ok()).unwrap_or(2000)
}

fn start() -> (System, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let options = Options { seconds: 3600, rate: 2000, workers: 2, ..Options::default() };
    let file = stream::describe(&options, dir.path());
    let system = stream::system(&options, &file, "realtime").start();
    system.apply(&stream::builtin());
    system.get_when("g/n", |f| f.int("seq") > 5);
    (system, dir)
}

/// Sends them all, a few at a time, while the stream runs.
fn insult(system: &mut System, forged: bool) {
    let before: BTreeMap<String, u64> =
        system.members().into_iter().map(|m| (m.clone(), system.unshared(&m))).collect();
    let mut garbage = Garbage::new(3, system.dir(), forged);
    let (total, sockets) = (messages(), 12);
    let mut given_up = 0;
    while garbage.sent < total * sockets && given_up < 10_000 {
        let sent = garbage.sent;
        garbage.send(100);
        // Where all queues are full the daemons need a moment.
        if garbage.sent < sent + 100 {
            given_up += 1;
            std::thread::sleep(Duration::from_millis(2));
        }
        let gone = system.exits(&BTreeSet::new());
        if let Some((name, status)) = gone.first() {
            let log = system.log(name);
            let tail = log.get(log.len().saturating_sub(3000)..).unwrap_or(&log);
            panic!("{name}: {status} after {} messages\n{tail}", garbage.sent);
        }
    }
    println!("{} messages sent, forged: {forged}", garbage.sent);
    for (member, before) in before {
        let now = system.unshared(&member);
        println!("{member}: {} KiB before, {} KiB after", before >> 10, now >> 10);
        assert!(now < before + GROWTH, "{member} grew from {before} to {now} bytes");
    }
}

#[test]
fn damaged_messages_disturb_nothing_and_are_counted() {
    let (mut system, _dir) = start();
    let subscriber = system.subscribe("g/@heartbeat");
    insult(&mut system, false);
    let seen = subscriber.gather(Duration::from_secs(1));
    assert!(!seen.is_empty());
    for marker in &seen {
        assert!(marker.complete(), "{}", marker.header);
    }
    for role in ["ventilator", "worker", "collector", "root"] {
        until("what was refused is counted", || {
            (system.metric(role, "ami_foreign_messages_total")? > 100.0).then_some(())
        });
    }
    assert!(system.stop(), "every daemon is alive and stops cleanly");
}

#[test]
fn forged_messages_kill_nobody() {
    let (mut system, _dir) = start();
    insult(&mut system, true);
    let answer = system.manager(serde_json::json!({"cmd": "status"}));
    assert!(answer["members"].is_array(), "{answer}");
    assert!(system.stop(), "every daemon is alive and stops cleanly");
}

/// Subscriptions of a stranger to as many topics, 100 bytes each, at every socket that publishes.
fn subscribe_to_much(dir: &std::path::Path, topics: u64) {
    let context = zmq::Context::new();
    for file in ["root.pub", "results.pub", "store.pub", "manager.pub"] {
        let socket = context.socket(zmq::XSUB).unwrap();
        socket.set_linger(5000).unwrap();
        socket.connect(&format!("ipc://{}/{file}", dir.display())).unwrap();
        for n in 0..topics {
            // Different from the first letter on, so that nothing of it is shared.
            let topic = format!("{:016x}", n.wrapping_mul(0x9e37_79b9_7f4a_7c15)).repeat(6);
            socket.send([&[1], topic.as_bytes()].concat(), 0).unwrap();
        }
    }
}

#[test]
fn subscriptions_of_strangers_take_no_more_than_a_bound() {
    let (mut system, _dir) = start();
    let subscriber = system.subscribe("g/@heartbeat");
    let publishers = ["root", "store", "manager"];
    let before = publishers.map(|p| system.resident(p));
    subscribe_to_much(system.dir(), messages().max(60_000));
    for (name, before) in publishers.into_iter().zip(before) {
        let now = system.resident(name);
        println!("{name}: {} KiB before, {} KiB after", before >> 10, now >> 10);
        assert!(now < before + GROWTH, "{name} grew from {before} to {now} bytes");
    }
    assert!(system.exits(&BTreeSet::new()).is_empty());
    let seen = subscriber.gather(Duration::from_secs(1));
    assert!(!seen.is_empty() && seen.iter().all(ami_tests::client::Feature::complete));
    assert!(system.stop(), "every daemon is alive and stops cleanly");
}
