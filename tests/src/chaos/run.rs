//! Runs a schedule against a system and gathers what was wrong.

use super::garbage::Garbage;
use super::laws::Laws;
use super::schedule::{Action, PYTHON, Schedule};
use super::stream::{self, Reference};
use super::{Options, laws};
use crate::System;
use crate::client::{self, Feature, Subscriber};
use rustix::process::Signal;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Nothing that works takes so long, even on a loaded machine under chaos.
const DEADLINE: Duration = Duration::from_secs(180);

/// What came of it.
#[derive(Debug)]
pub struct Outcome {
    /// What was done.
    pub schedule: Schedule,
    /// What was wrong; empty is good.
    pub violations: Vec<String>,
    /// Features seen, and of these compared with the undisturbed run.
    pub features: (u64, u64),
    /// Heartbeats seen that were not complete.
    pub incomplete: u64,
    /// The last heartbeat's label of `g/n`.
    pub last: Value,
}

/// Runs the schedule of the options' seed.
pub fn run(options: &Options, reference: &Arc<Reference>) -> Outcome {
    let schedule = Schedule::new(options);
    let dir = tempfile::tempdir().unwrap();
    let file = stream::describe(options, dir.path());
    let system = stream::system(options, &file, "realtime").start();
    let watcher = Watcher::start(&system, options, reference);
    system.apply(&stream::graph(dir.path()));
    let mut driver =
        Driver { system, watcher, garbage: None, leaving: BTreeSet::new(), options, turns: 0 };
    driver.follow(&schedule);
    let last = driver.last(reference);
    driver.finish(schedule, reference, last)
}

struct Driver<'a> {
    system: System,
    watcher: Watcher,
    garbage: Option<Garbage>,
    /// Members that were asked to stop.
    leaving: BTreeSet<String>,
    options: &'a Options,
    turns: usize,
}

impl Driver<'_> {
    fn follow(&mut self, schedule: &Schedule) {
        let start = Instant::now();
        for (at, action) in &schedule.0 {
            while let Some(left) = Duration::from_millis(*at).checked_sub(start.elapsed()) {
                std::thread::sleep(left.min(Duration::from_millis(50)));
                self.see_deaths();
            }
            self.act(action);
        }
    }

    /// Another number each time.
    fn turn(&mut self) -> usize {
        self.turns += 1;
        self.turns
    }

    fn act(&mut self, action: &Action) {
        match action {
            Action::Kill(member) if member == PYTHON => {
                let turn = self.turn();
                self.system.kill_code(turn);
            }
            Action::Start(member) if member == PYTHON => {}
            Action::Kill(member) => self.system.kill(member),
            Action::Stop(member) => self.system.signal(member, Signal::STOP),
            Action::Continue(member) => self.system.signal(member, Signal::CONT),
            Action::Term(member) => {
                self.system.signal(member, Signal::TERM);
                self.leaving.insert(member.clone());
            }
            Action::Start(member) => {
                if self.leaving.remove(member) && !self.system.wait_exit(member) {
                    self.watcher.note(format!("{member} did not stop with success"));
                }
                self.system.spawn(member);
            }
            Action::Garbage(count) => {
                let garbage = self.garbage.get_or_insert_with(|| {
                    Garbage::new(self.options.seed, self.system.dir(), false)
                });
                garbage.send(*count);
            }
            Action::Load(ms) => busy(Duration::from_millis(*ms)),
            Action::Edit(variant) => self.edit(*variant),
        }
    }

    /// The manager may be away: then there is no edit, and no answer is waited for.
    fn edit(&self, variant: u64) {
        let spec = stream::edited(variant);
        let command = json!({"cmd": "graph.apply", "spec": spec, "who": "chaos", "no_wait": true});
        let address = self.system.address("manager.cmd");
        client::request_within(&address, &command.to_string(), Duration::from_millis(300));
    }

    fn see_deaths(&mut self) {
        for (name, status) in self.system.exits(&self.leaving) {
            let log = self.system.log(&name);
            let tail: Vec<&str> = log.lines().rev().take(10).collect();
            self.watcher.note(format!("{name} ended by itself: {status}\n{}", tail.join("\n")));
            self.system.spawn(&name);
        }
    }

    /// The last heartbeat's marker, once it is in the store.
    fn last(&mut self, reference: &Reference) -> Option<Feature> {
        let query = self.system.address("store.query");
        let start = Instant::now();
        while start.elapsed() < DEADLINE {
            self.see_deaths();
            let marker = client::get_within(&query, "g/@heartbeat", Duration::from_secs(1));
            let same = |m: &Feature| m.header["heartbeat"] == reference.last.header["heartbeat"];
            if let Some(marker) = marker.filter(same) {
                return Some(marker);
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        None
    }

    fn finish(
        mut self,
        schedule: Schedule,
        reference: &Reference,
        last: Option<Feature>,
    ) -> Outcome {
        let query = self.system.address("store.query");
        let mut label = Value::Null;
        let mut finals = Vec::new();
        match last {
            None => self.watcher.note("the stream did not come to its end".into()),
            Some(marker) => {
                for (topic, seq) in marker.header["topics"].as_object().into_iter().flatten() {
                    match client::get_within(&query, topic, Duration::from_secs(20)) {
                        Some(feature) if feature.header["seq"] == *seq => finals.push(feature),
                        other => self.watcher.note(format!("no final {topic}, but {other:?}")),
                    }
                }
            }
        }
        let logs = self.system.logs();
        let mut laws = self.watcher.stop();
        for feature in &finals {
            laws.see(feature);
            if self.options.exact() {
                laws.compare(feature, reference);
            } else {
                declared(&mut laws, feature, reference);
            }
            if feature.header["topic"] == "g/n" {
                label = feature.header.clone();
            }
        }
        if self.options.exact() && laws.incomplete > 0 {
            laws.violated(format!("{} heartbeats were not complete", laws.incomplete));
        }
        if !self.system.stop() {
            laws.violated("a daemon did not stop with success".into());
        }
        if !laws.violations.is_empty() {
            laws.violations.push(logs);
        }
        Outcome {
            schedule,
            violations: laws.violations,
            features: (laws.seen, laws.compared),
            incomplete: laws.incomplete,
            last: label,
        }
    }
}

/// What a window lacks of the undisturbed run it must declare, to the event.
fn declared(laws: &mut Laws, feature: &Feature, reference: &Reference) {
    let Some(there) = reference.features.get(&stream::place(feature)) else { return };
    if feature.header["window"] != "run" {
        return;
    }
    let all = there.int("window_events");
    let here = feature.int("window_events") + laws::sum(&feature.header["window_dropped"]);
    if all != here {
        laws.violated(format!("{here} of {all} events are answered for: {}", feature.header));
    }
}

/// Keeps all processors busy.
fn busy(time: Duration) {
    let end = Instant::now() + time;
    for _ in 0..std::thread::available_parallelism().map_or(2, usize::from) {
        std::thread::spawn(move || {
            while Instant::now() < end {
                std::hint::spin_loop();
            }
        });
    }
}

/// A client in a thread of its own, which checks all that it gets.
struct Watcher {
    stop: Arc<AtomicBool>,
    notes: Vec<String>,
    thread: JoinHandle<Laws>,
}

impl Watcher {
    fn start(system: &System, options: &Options, reference: &Arc<Reference>) -> Watcher {
        let stop = Arc::new(AtomicBool::new(false));
        let subscriber = Subscriber::new(&system.address("store.pub"), "");
        let (reference, flag, exact) = (reference.clone(), stop.clone(), options.exact());
        let thread = std::thread::spawn(move || {
            let mut laws = Laws::default();
            laws.may_restart = !exact;
            while !flag.load(Ordering::Relaxed) {
                let Some(feature) = subscriber.next(Duration::from_millis(50)) else { continue };
                let of_stream =
                    feature.header["topic"].as_str().is_some_and(|t| t.starts_with("g/"));
                if laws.see(&feature) && of_stream && exact {
                    laws.compare(&feature, &reference);
                }
            }
            laws
        });
        Watcher { stop, notes: Vec::new(), thread }
    }

    fn note(&mut self, what: String) {
        self.notes.push(what);
    }

    fn stop(&mut self) -> Laws {
        self.stop.store(true, Ordering::Relaxed);
        let thread = std::mem::replace(&mut self.thread, std::thread::spawn(Laws::default));
        let mut laws = thread.join().unwrap_or_else(|_| {
            let mut laws = Laws::default();
            laws.violated("the client panicked (see above)".into());
            laws
        });
        laws.violations.extend(std::mem::take(&mut self.notes));
        laws
    }
}
