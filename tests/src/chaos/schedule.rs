//! What happens when: made from a seed before anything starts, so that it can be repeated.

use super::Options;
use crate::random::Random;
use std::collections::BTreeMap;
use std::fmt;

/// The victim that is no daemon: any process of user code.
pub const PYTHON: &str = "python";

/// Kinds of disturbance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `kill -9` and, a little later, a start.
    Kill,
    /// SIGSTOP and, a little later, SIGCONT.
    Freeze,
    /// SIGTERM and, once it is gone, a start.
    Restart,
    /// Damaged messages to every socket.
    Garbage,
    /// All processors busy with something else.
    Load,
    /// A graph changes.
    Edit,
}

impl Kind {
    /// All of them.
    pub const ALL: [Kind; 6] =
        [Kind::Kill, Kind::Freeze, Kind::Restart, Kind::Garbage, Kind::Load, Kind::Edit];
}

impl std::str::FromStr for Kind {
    type Err = String;

    fn from_str(text: &str) -> Result<Kind, String> {
        let find = Kind::ALL.into_iter().find(|k| format!("{k:?}").eq_ignore_ascii_case(text));
        find.ok_or_else(|| {
            format!("{text:?} is none of kill, freeze, restart, garbage, load, edit")
        })
    }
}

/// One thing to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// `kill -9`.
    Kill(String),
    /// SIGTERM.
    Term(String),
    /// Start again, once it is gone.
    Start(String),
    /// SIGSTOP.
    Stop(String),
    /// SIGCONT.
    Continue(String),
    /// So many damaged messages to each socket.
    Garbage(u64),
    /// Keep all processors busy for so many milliseconds.
    Load(u64),
    /// Change the graph that may change, to this variant.
    Edit(u64),
}

/// Actions with their times in milliseconds, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule(pub Vec<(u64, Action)>);

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|(at, action)| writeln!(f, "{at:>8} ms  {action:?}"))
    }
}

impl Schedule {
    /// Disturbs victims that are whole at the time, until a second before the end.
    pub fn new(options: &Options) -> Schedule {
        let mut random = Random::new(options.seed);
        let members: Vec<String> = options.victims.iter().flat_map(|v| names(v, options)).collect();
        let mut whole_from: BTreeMap<String, u64> = BTreeMap::new();
        let mut actions = Vec::new();
        let end = (options.seconds * 1000).saturating_sub(1000);
        let mut at = 500;
        while at < end {
            let free = |m: &&String| whole_from.get(*m).is_none_or(|t| *t <= at);
            let free: Vec<&String> = members.iter().filter(free).collect();
            let member = random.of(&free).map(|m| (*m).clone());
            match (random.of(&options.kinds), member) {
                (Some(Kind::Garbage), _) => {
                    actions.push((at, Action::Garbage(random.between(10, 200))));
                }
                (Some(Kind::Load), _) => {
                    actions.push((at, Action::Load(random.between(100, 1500))));
                }
                (Some(Kind::Edit), _) => actions.push((at, Action::Edit(random.below(20)))),
                (Some(&kind), Some(member)) => {
                    // One that just starts does not know yet what to do when it is asked to stop.
                    let young = whole_from.get(&member).is_some_and(|t| at < t + 1000);
                    let kind = if young && kind == Kind::Restart { Kind::Kill } else { kind };
                    let back = at + pause(kind, &mut random);
                    let (begin, finish) = pair(kind, &member);
                    actions.extend([(at, begin), (back, finish)]);
                    whole_from.insert(member, back + 1);
                }
                _ => {}
            }
            at += random.between(options.every_ms / 2, options.every_ms * 3 / 2 + 1).max(1);
        }
        actions.sort_by_key(|(at, _)| *at);
        Schedule(actions)
    }
}

fn names(victim: &str, options: &Options) -> Vec<String> {
    match victim {
        "worker" => (0..options.workers).map(|n| format!("worker-{n}")).collect(),
        daemon => vec![daemon.to_string()],
    }
}

/// How long a victim is away, ms. Some freezes outlast the deadline of a lane.
fn pause(kind: Kind, random: &mut Random) -> u64 {
    match kind {
        Kind::Freeze => random.between(20, 1500),
        _ => random.between(1, 300),
    }
}

fn pair(kind: Kind, member: &str) -> (Action, Action) {
    let member = member.to_string();
    // User code that stands still for a second has failed; one that is killed is run again.
    let kind = if member == PYTHON { Kind::Kill } else { kind };
    match kind {
        Kind::Freeze => (Action::Stop(member.clone()), Action::Continue(member)),
        Kind::Restart => (Action::Term(member.clone()), Action::Start(member)),
        _ => (Action::Kill(member.clone()), Action::Start(member)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_is_a_schedule_and_every_victim_comes_back() {
        let options = Options { seconds: 60, ..Options::default() };
        let schedule = Schedule::new(&options);
        assert_eq!(schedule, Schedule::new(&options));
        assert_ne!(schedule, Schedule::new(&Options { seed: 2, ..options }));
        let mut away = std::collections::BTreeSet::new();
        for (_, action) in &schedule.0 {
            match action {
                Action::Kill(m) | Action::Term(m) | Action::Stop(m) => {
                    assert!(away.insert(m.clone()), "{m} is away already\n{schedule}");
                }
                Action::Start(m) | Action::Continue(m) => assert!(away.remove(m)),
                _ => {}
            }
        }
        assert!(away.is_empty());
    }
}
