//! When daemons are started, restarted and stopped. Pure: time and what happened come in, actions
//! come out; `processes` performs them.

use std::time::Duration;

/// First wait before a restart; doubles up to [`MAX_BACKOFF`].
pub const MIN_BACKOFF: Duration = Duration::from_millis(50);
/// Longest wait before a restart.
pub const MAX_BACKOFF: Duration = Duration::from_secs(2);
/// Who has been up for so long starts over with the shortest wait.
const STEADY: Duration = Duration::from_secs(10);
/// A daemon that is not ready for the first time within this has failed.
const READY_WITHIN: Duration = Duration::from_secs(30);
/// Deaths by a signal before the first readiness that are taken for accidents.
const EARLY_DEATHS: u32 = 5;
/// A group of daemons that has not stopped within this no longer holds up the next.
const GROUP: Duration = Duration::from_millis(600);
/// After this, what still runs is killed.
const GRACE: Duration = Duration::from_secs(3);

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// By itself, with this code.
    Code(i32),
    /// By this signal.
    Signal(i32),
}

impl std::fmt::Display for Exit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Exit::Code(code) => write!(f, "exit code {code}"),
            Exit::Signal(signal) => write!(f, "signal {signal}"),
        }
    }
}

/// What is to be done; the number is the daemon's place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Start its process.
    Spawn(usize),
    /// Ask it to stop (SIGTERM).
    Terminate(usize),
    /// Kill it.
    Kill(usize),
    /// Tell that it died and is restarted after this wait.
    Restarting(usize, Exit, Duration),
    /// The run cannot go on: this daemon, this reason, this exit code.
    Fatal(usize, String, u8),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Not started yet, or stopped.
    Off,
    /// Has a process since.
    Running { since: Duration, ready: bool },
    /// Will have one again.
    Waiting { until: Duration },
}

#[derive(Debug)]
struct Daemon {
    group: usize,
    state: State,
    was_ready: bool,
    deaths: u32,
    backoff: Duration,
    told: bool,
}

/// The daemons of a run. Times are since any fixed moment.
#[derive(Debug)]
pub struct Supervisor {
    daemons: Vec<Daemon>,
    stopping: Option<(Duration, usize, Duration)>,
    killed: bool,
}

impl Supervisor {
    /// For daemons in these stopping groups: group 0 is stopped first.
    pub fn new(groups: &[usize]) -> Supervisor {
        let daemon = |&group: &usize| Daemon {
            group,
            state: State::Off,
            was_ready: false,
            deaths: 0,
            backoff: MIN_BACKOFF,
            told: false,
        };
        Supervisor { daemons: groups.iter().map(daemon).collect(), stopping: None, killed: false }
    }

    /// Starts a daemon for the first time.
    pub fn start(&mut self, index: usize, now: Duration) -> Vec<Action> {
        if self.stopping.is_some() || self.daemons[index].state != State::Off {
            return Vec::new();
        }
        self.daemons[index].state = State::Running { since: now, ready: false };
        vec![Action::Spawn(index)]
    }

    /// A daemon said that it is ready.
    pub fn ready(&mut self, index: usize) {
        let daemon = &mut self.daemons[index];
        if let State::Running { ready, .. } = &mut daemon.state {
            *ready = true;
            daemon.was_ready = true;
        }
    }

    /// Whether all of these have been ready once.
    pub fn all_ready(&self, indices: impl IntoIterator<Item = usize>) -> bool {
        indices.into_iter().all(|i| self.daemons[i].was_ready)
    }

    /// A daemon's process ended.
    pub fn exited(&mut self, index: usize, exit: Exit, now: Duration) -> Vec<Action> {
        let stopping = self.stopping.is_some();
        let daemon = &mut self.daemons[index];
        let State::Running { since, .. } = daemon.state else { return Vec::new() };
        daemon.state = State::Off;
        if stopping {
            return Vec::new();
        }
        daemon.deaths += 1;
        if let Some(reason) = daemon.hopeless(exit) {
            let code = if exit == Exit::Code(2) { 2 } else { 1 };
            return vec![Action::Fatal(index, reason, code)];
        }
        if now.saturating_sub(since) >= STEADY {
            daemon.backoff = MIN_BACKOFF;
        }
        let wait = daemon.backoff;
        daemon.backoff = (wait * 2).min(MAX_BACKOFF);
        daemon.state = State::Waiting { until: now + wait };
        vec![Action::Restarting(index, exit, wait)]
    }

    /// Begins to stop everything, group by group; a second call kills what is left.
    pub fn stop(&mut self, now: Duration) -> Vec<Action> {
        if self.stopping.is_some() {
            return self.kill();
        }
        for daemon in &mut self.daemons {
            if let State::Waiting { .. } = daemon.state {
                daemon.state = State::Off;
            }
        }
        self.stopping = Some((now, 0, now));
        self.tick(now)
    }

    /// Whether stopping has begun.
    pub fn stopping(&self) -> bool {
        self.stopping.is_some()
    }

    /// Whether nothing runs any more after [`stop`](Self::stop).
    pub fn stopped(&self) -> bool {
        self.stopping.is_some() && self.daemons.iter().all(|d| d.state == State::Off)
    }

    /// What time brings.
    pub fn tick(&mut self, now: Duration) -> Vec<Action> {
        match self.stopping {
            Some(_) => self.tick_stopping(now),
            None => self.tick_running(now),
        }
    }

    fn tick_running(&mut self, now: Duration) -> Vec<Action> {
        let mut actions = Vec::new();
        for (index, daemon) in self.daemons.iter_mut().enumerate() {
            match daemon.state {
                State::Waiting { until } if now >= until => {
                    daemon.state = State::Running { since: now, ready: false };
                    actions.push(Action::Spawn(index));
                }
                State::Running { since, ready: false }
                    if !daemon.was_ready && now.saturating_sub(since) >= READY_WITHIN =>
                {
                    let reason = format!("was not ready within {} s", READY_WITHIN.as_secs());
                    actions.push(Action::Fatal(index, reason, 1));
                }
                _ => {}
            }
        }
        actions
    }

    fn tick_stopping(&mut self, now: Duration) -> Vec<Action> {
        let Some((begun, mut group, mut since)) = self.stopping else { return Vec::new() };
        if now.saturating_sub(begun) >= GRACE {
            return self.kill();
        }
        let mut actions = Vec::new();
        let last = self.daemons.iter().map(|d| d.group).max().unwrap_or(0);
        loop {
            let mut running = false;
            for (index, daemon) in self.daemons.iter_mut().enumerate() {
                if daemon.group == group && daemon.state != State::Off {
                    running = true;
                    if !daemon.told {
                        daemon.told = true;
                        actions.push(Action::Terminate(index));
                    }
                }
            }
            if (running && now.saturating_sub(since) < GROUP) || group >= last {
                break;
            }
            (group, since) = (group + 1, now);
        }
        self.stopping = Some((begun, group, since));
        actions
    }

    fn kill(&mut self) -> Vec<Action> {
        if std::mem::replace(&mut self.killed, true) {
            return Vec::new();
        }
        let running = self.daemons.iter().enumerate().filter(|(_, d)| d.state != State::Off);
        running.map(|(index, _)| Action::Kill(index)).collect()
    }
}

impl Daemon {
    /// Why a restart would not help.
    fn hopeless(&self, exit: Exit) -> Option<String> {
        match exit {
            Exit::Code(2) => Some("refused its configuration".into()),
            Exit::Code(_) if !self.was_ready => Some(format!("ended before it was ready ({exit})")),
            Exit::Signal(_) if !self.was_ready && self.deaths >= EARLY_DEATHS => {
                Some(format!("died {} times before it was ready ({exit})", self.deaths))
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    fn up(groups: &[usize]) -> Supervisor {
        let mut supervisor = Supervisor::new(groups);
        for i in 0..groups.len() {
            assert_eq!(supervisor.start(i, ms(0)), [Action::Spawn(i)]);
            supervisor.ready(i);
        }
        supervisor
    }

    #[test]
    fn deaths_are_followed_by_restarts_ever_more_slowly() {
        let mut s = up(&[0]);
        let mut now = ms(1000);
        let mut waits = Vec::new();
        for _ in 0..8 {
            let actions = s.exited(0, Exit::Signal(9), now);
            let [Action::Restarting(0, Exit::Signal(9), wait)] = actions[..] else {
                panic!("{actions:?}")
            };
            waits.push(wait.as_millis());
            assert_eq!(s.tick(now + wait - ms(1)), []);
            now += wait;
            assert_eq!(s.tick(now), [Action::Spawn(0)]);
        }
        assert_eq!(waits, [50, 100, 200, 400, 800, 1600, 2000, 2000]);
        let actions = s.exited(0, Exit::Code(1), now + STEADY);
        assert_eq!(
            actions,
            [Action::Restarting(0, Exit::Code(1), MIN_BACKOFF)],
            "it was up for long"
        );
    }

    #[test]
    fn what_cannot_work_ends_the_run() {
        let mut s = up(&[0]);
        assert!(matches!(&s.exited(0, Exit::Code(2), ms(1))[..], [Action::Fatal(0, _, 2)]));
        let mut s = Supervisor::new(&[0]);
        s.start(0, ms(0));
        assert!(matches!(&s.exited(0, Exit::Code(1), ms(1))[..], [Action::Fatal(0, _, 1)]));
        let mut s = Supervisor::new(&[0]);
        s.start(0, ms(0));
        assert_eq!(s.tick(READY_WITHIN - ms(1)), []);
        assert!(matches!(&s.tick(READY_WITHIN)[..], [Action::Fatal(0, _, 1)]));
    }

    #[test]
    fn a_kill_during_start_is_an_accident_until_it_repeats() {
        let mut s = Supervisor::new(&[0]);
        s.start(0, ms(0));
        for n in 1..EARLY_DEATHS {
            let now = Duration::from_secs(3 * u64::from(n));
            assert!(matches!(&s.exited(0, Exit::Signal(9), now)[..], [Action::Restarting(..)]));
            s.tick(now + MAX_BACKOFF);
        }
        assert!(matches!(&s.exited(0, Exit::Signal(9), ms(90_000))[..], [Action::Fatal(..)]));
    }

    #[test]
    fn groups_stop_in_order_and_nothing_is_restarted() {
        let mut s = up(&[1, 0, 2]);
        assert_eq!(s.stop(ms(0)), [Action::Terminate(1)]);
        assert_eq!(s.exited(1, Exit::Code(0), ms(10)), []);
        assert_eq!(s.tick(ms(20)), [Action::Terminate(0)]);
        assert_eq!(s.tick(ms(30)), [], "told once");
        assert_eq!(
            s.tick(ms(20) + GROUP),
            [Action::Terminate(2)],
            "the slow do not hold up the rest"
        );
        s.exited(2, Exit::Code(0), ms(700));
        assert!(!s.stopped());
        assert_eq!(s.tick(GRACE), [Action::Kill(0)]);
        s.exited(0, Exit::Signal(9), GRACE);
        assert!(s.stopped());
    }

    #[test]
    fn who_waits_for_a_restart_is_not_restarted_while_stopping() {
        let mut s = up(&[0, 1]);
        s.exited(0, Exit::Signal(9), ms(5));
        assert_eq!(s.stop(ms(6)), [Action::Terminate(1)]);
        assert_eq!(s.stop(ms(7)), [Action::Kill(1)], "asked twice");
        assert_eq!(s.tick(ms(500)), []);
    }
}
