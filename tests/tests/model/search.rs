//! Exhaustive search over what may happen, and the laws at every state of it.

use crate::system::{System, Watermark};
use std::collections::HashSet;
use std::fmt::Write;
use std::hash::{DefaultHasher, Hasher};

/// How often things may go wrong on one path.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Faults {
    /// Workers killed.
    pub workers: u8,
    /// Lanes fenced whose workers live.
    pub fences: u8,
    /// Host collectors killed.
    pub collectors: u8,
    /// Roots killed.
    pub roots: u8,
    /// Checkpoints of the root.
    pub checkpoints: u8,
    /// Messages lost.
    pub losses: u8,
    /// Messages that come twice, and words of a root that is no more.
    pub repeats: u8,
    /// Repetitions that come early.
    pub ticks: u8,
}

impl Faults {
    /// Nothing goes wrong.
    pub const NONE: Faults = Faults {
        workers: 0,
        fences: 0,
        collectors: 0,
        roots: 0,
        checkpoints: 0,
        losses: 0,
        repeats: 0,
        ticks: 0,
    };
}

/// One thing that may happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    Source,
    Work(u32),
    Partial(u32),
    ToCollector,
    Ask,
    Forward,
    HearVentilator,
    HearCollector,
    HearStale,
    Tick,
    KillWorker(u32, bool),
    Bury(u32),
    Reseat(u32),
    Fence(u32),
    KillCollector(bool),
    KillRoot(bool),
    Checkpoint,
    LosePartial(u32),
    LoseToCollector,
    LoseForward,
    LoseAsk,
    RepeatPartial(u32),
    RepeatForward,
}

/// A state of the search.
#[derive(Debug, Clone)]
struct State {
    system: System,
    faults: Faults,
    told: (Watermark, Watermark),
    root_died: bool,
    /// Tells what everybody knows apart, whatever may still go wrong.
    digest: u64,
}

/// What was searched.
#[derive(Debug, Default)]
pub struct Searched {
    /// Different states.
    pub states: usize,
    /// Whether that were all.
    pub exhausted: bool,
}

struct Digest(DefaultHasher);

impl Write for Digest {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        self.0.write(text.as_bytes());
        Ok(())
    }
}

/// Searches everything that may happen to a system, up to so many states.
pub fn search(system: System, faults: Faults, most: usize) -> Searched {
    let all = system.all_events();
    let first = State { system, faults, told: Default::default(), root_died: false, digest: 0 };
    let first = first.digested();
    let mut seen = HashSet::from([(first.digest, first.faults)]);
    let mut finishing = HashSet::new();
    let mut open = vec![(first, Vec::new())];
    while let Some((state, path)) = open.pop() {
        safe(&state, &path);
        finishes(&state, all, &path, &mut finishing);
        for step in state.steps() {
            let next = state.after(step);
            if seen.len() >= most {
                return Searched { states: seen.len(), exhausted: false };
            }
            if seen.insert((next.digest, next.faults)) {
                open.push((next, [&path[..], &[step]].concat()));
            }
        }
    }
    Searched { states: seen.len(), exhausted: true }
}

/// No unit is counted twice, at any time.
fn safe(state: &State, path: &[Step]) {
    let merged = &state.system.ledger.merged;
    assert!(merged.windows(2).all(|w| w[0] != w[1]), "a unit twice: {merged:?}\n{path:#?}");
}

/// Without further faults the stream comes to its end, and every event is answered for once.
fn finishes(state: &State, all: u64, path: &[Step], finishing: &mut HashSet<u64>) {
    if finishing.contains(&state.digest) {
        return;
    }
    let mut state = state.clone();
    state.faults = Faults::default();
    let mut on_the_way = Vec::new();
    let mut path = path.to_vec();
    let path = &mut path;
    for _ in 0..2000 {
        if finishing.contains(&state.digest) {
            finishing.extend(on_the_way);
            return;
        }
        on_the_way.push(state.digest);
        match state.fair() {
            Some(step) => {
                path.push(step);
                state = state.after(step);
            }
            None if state.finished() => {
                state.answered(all, path);
                finishing.extend(on_the_way);
                return;
            }
            None => {
                path.push(Step::Tick);
                state.system.tick();
                state.system.settle();
                state = state.digested();
            }
        }
    }
    path.truncate(60);
    panic!("it does not come to its end: {:#?}\n{path:?}", state.system);
}

impl State {
    /// Everything that may happen next.
    fn steps(&self) -> Vec<Step> {
        let (system, faults) = (&self.system, &self.faults);
        let mut steps = self.harmless();
        for (&lane, worker) in &system.workers {
            if !worker.dead && !worker.fenced {
                if faults.workers > 0 {
                    steps.push(Step::KillWorker(lane, false));
                    steps.extend(system.begins(lane).then_some(Step::KillWorker(lane, true)));
                }
                steps.extend((faults.fences > 0).then_some(Step::Fence(lane)));
            }
        }
        if faults.collectors > 0 {
            steps.extend([Step::KillCollector(false), Step::KillCollector(true)]);
        }
        if faults.roots > 0 {
            steps.extend([Step::KillRoot(false), Step::KillRoot(true)]);
        }
        steps.extend((faults.checkpoints > 0).then_some(Step::Checkpoint));
        steps.extend((faults.ticks > 0).then_some(Step::Tick));
        if faults.losses > 0 {
            steps.extend(system.partials.keys().map(|l| Step::LosePartial(*l)));
            steps.extend((!system.to_collector.is_empty()).then_some(Step::LoseToCollector));
            steps.extend((!system.forwards.is_empty()).then_some(Step::LoseForward));
            steps.extend((!system.asks.is_empty()).then_some(Step::LoseAsk));
        }
        if faults.repeats > 0 {
            steps.extend(system.partials.keys().map(|l| Step::RepeatPartial(*l)));
            steps.extend((!system.forwards.is_empty()).then_some(Step::RepeatForward));
            steps.extend(system.stale.map(|_| Step::HearStale));
        }
        steps
    }

    /// What happens by itself sooner or later.
    fn harmless(&self) -> Vec<Step> {
        let system = &self.system;
        let mut steps = Vec::new();
        steps.extend(system.source_ready().then_some(Step::Source));
        for (&lane, worker) in &system.workers {
            let has = system.lanes.get(&lane).is_some_and(|l| !l.is_empty());
            match worker.dead {
                true => steps.push(Step::Bury(lane)),
                // It asks for a seat when nothing comes.
                false if worker.fenced && !has => steps.push(Step::Reseat(lane)),
                false => steps.extend(has.then_some(Step::Work(lane))),
            }
        }
        steps.extend(system.partials.keys().map(|l| Step::Partial(*l)));
        steps.extend((!system.to_collector.is_empty()).then_some(Step::ToCollector));
        steps.extend((!system.asks.is_empty()).then_some(Step::Ask));
        steps.extend((!system.forwards.is_empty()).then_some(Step::Forward));
        steps.extend((self.told.0 != system.word).then_some(Step::HearVentilator));
        steps.extend((self.told.1 != system.word).then_some(Step::HearCollector));
        steps
    }

    /// The next step where nothing goes wrong: whoever can do something does it.
    fn fair(&self) -> Option<Step> {
        self.harmless().into_iter().next()
    }

    fn finished(&self) -> bool {
        let decided = self.system.root.watermark(crate::system::HOST, crate::system::EPOCH).0;
        let all_decided = decided == self.system.flow.watermark();
        self.system.script.is_empty() && self.system.flow.drained() && all_decided
    }

    /// Every event is merged, dropped or declared lost, once; nothing is lost while the root lives.
    fn answered(&self, all: u64, path: &[Step]) {
        let ledger = &self.system.ledger;
        let merged: u64 = ledger.merged.iter().map(|u| 1 << u).sum();
        let sum = merged + ledger.dropped + ledger.lost;
        assert_eq!(sum, all, "not every event once: {ledger:?}\n{path:#?}");
        if !self.root_died {
            assert_eq!(merged, all, "events were given up without need: {ledger:?}\n{path:#?}");
        }
    }

    fn after(&self, step: Step) -> State {
        let mut next = self.clone();
        next.take(step);
        next.system.settle();
        next.digested()
    }

    fn digested(mut self) -> State {
        let mut digest = Digest(DefaultHasher::new());
        write!(digest, "{:?}{:?}{}", self.system, self.told, self.root_died).unwrap();
        self.digest = digest.0.finish();
        self
    }

    fn take(&mut self, step: Step) {
        let (system, faults) = (&mut self.system, &mut self.faults);
        match step {
            Step::Source => system.source(),
            Step::Work(lane) => system.work(lane),
            Step::Partial(lane) => system.receive_partial(lane),
            Step::ToCollector => system.receive_manifest(),
            Step::Ask => system.receive_ask(),
            Step::Forward => system.receive_forward(),
            Step::Bury(lane) => system.bury(lane),
            Step::Reseat(lane) => system.reseat(lane),
            Step::HearVentilator => {
                self.told.0 = system.word;
                system.hear_ventilator(system.word);
            }
            Step::HearCollector => {
                self.told.1 = system.word;
                system.hear_collector(system.word);
            }
            Step::HearStale => {
                faults.repeats -= 1;
                if let Some(word) = system.stale {
                    system.hear_ventilator(word);
                    system.hear_collector(word);
                }
            }
            Step::Tick => {
                faults.ticks -= 1;
                system.tick();
            }
            Step::KillWorker(lane, begun) => {
                faults.workers -= 1;
                system.kill_worker(lane, begun);
            }
            Step::Fence(lane) => {
                faults.fences -= 1;
                system.fence(lane);
            }
            Step::KillCollector(losing) => {
                faults.collectors -= 1;
                system.kill_collector(losing);
                self.told.1 = Watermark::default();
            }
            Step::KillRoot(losing) => {
                faults.roots -= 1;
                self.root_died = true;
                system.kill_root(losing);
            }
            Step::Checkpoint => {
                faults.checkpoints -= 1;
                system.write_checkpoint();
            }
            _ => {
                let losing = matches!(
                    step,
                    Step::LosePartial(_)
                        | Step::LoseToCollector
                        | Step::LoseForward
                        | Step::LoseAsk
                );
                *(if losing { &mut faults.losses } else { &mut faults.repeats }) -= 1;
                tamper(system, step);
            }
        }
    }
}

/// A message is lost, or comes twice.
fn tamper(system: &mut System, step: Step) {
    match step {
        Step::LosePartial(lane) => {
            let queue = system.partials.get_mut(&lane);
            if queue.is_some_and(|q| q.pop_front().is_some() && q.is_empty()) {
                system.partials.remove(&lane);
            }
        }
        Step::LoseToCollector => drop(system.to_collector.pop_front()),
        Step::LoseForward => drop(system.forwards.pop_front()),
        Step::LoseAsk => drop(system.asks.pop_front()),
        Step::RepeatPartial(lane) => {
            if let Some(queue) = system.partials.get_mut(&lane) {
                queue.extend(queue.front().cloned());
            }
        }
        Step::RepeatForward => {
            let front = system.forwards.front().cloned();
            system.forwards.extend(front);
        }
        _ => {}
    }
}
