//! One order from two channels. Pure; the time is an argument.
//!
//! Transitions come over TCP, events over a message queue, and nothing orders the one against the
//! other: events of a step may be read after its end. Timestamps put them in order: a transition
//! waits until an event that is not older has come, or until no event has come for a while. What is
//! older than a step that was closed already is left out and counted.
//!
//! The server repeats transitions to a client that it lost sight of, and tells every client all of
//! them. Those that are in force already are left out.

use crate::shmem::tally::{Tallies, Tally};
use crate::xtc2::counts::{Count, Counts};
use crate::xtc2::dgram::Header;
use crate::xtc2::reading::kind_of;
use ami_proto::data_path::transition::TransitionKind;
use std::collections::VecDeque;

/// A transition in the midst of events waits so long for the events before it, ns. The server hands
/// events on in another thread; a busy machine may let that one wait some scheduling periods.
pub const SETTLE_NS: u64 = 100_000_000;
/// Transitions that are remembered so that other clients' copies of them are known.
const REMEMBERED: usize = 64;

/// Something that was read, with when.
#[derive(Debug)]
pub struct Arrival<T> {
    /// Which life of the server.
    pub session: u64,
    /// Which client of ours read it.
    pub client: usize,
    /// Its header.
    pub header: Header,
    /// When it was read, ns.
    pub at_ns: u64,
    /// The datagram.
    pub body: T,
}

/// What comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// The oldest event.
    Event(Header),
    /// The oldest transition.
    Transition(TransitionKind, Header),
    /// Nothing yet; in so many ns something, whatever comes or not.
    Wait(Option<u64>),
}

/// Which of the two that stand first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum First {
    Event,
    /// Unless events before it may still come.
    Transition,
    TransitionNow,
}

/// A transition as it is known again: service and timestamp.
type Mark = (u8, u64);

fn mark(header: &Header) -> Mark {
    (header.service(), header.timestamp())
}

/// Both channels and what is in force.
#[derive(Debug)]
pub struct Order<T> {
    transitions: VecDeque<Arrival<T>>,
    events: VecDeque<Arrival<T>>,
    /// The session of what is in force; none before the first Configure.
    session: Option<u64>,
    /// Sessions below are over: nothing comes of them any more.
    living: u64,
    /// Marks of Configure, BeginRun, BeginStep and Enable while they hold.
    in_force: [Option<Mark>; 4],
    /// The last transitions, the number of the first of them, and where each client is among them.
    told: VecDeque<Mark>,
    first_told: u64,
    clients: Vec<u64>,
    /// Newest event since time last began anew.
    newest: u64,
    /// What is older belongs to a step that is over.
    closed: u64,
    /// Events may be on their way.
    flowing: bool,
    /// The session that is read, and of each client of it the timestamp of the last event that was read, and when, ns.
    reading: u64,
    reached: Vec<(u64, u64)>,
}

impl<T> Default for Order<T> {
    fn default() -> Order<T> {
        Order {
            transitions: VecDeque::new(),
            events: VecDeque::new(),
            session: None,
            living: 0,
            in_force: [None; 4],
            told: VecDeque::new(),
            first_told: 0,
            clients: Vec::new(),
            newest: 0,
            closed: 0,
            flowing: false,
            reading: 0,
            reached: Vec::new(),
        }
    }
}

impl<T> Order<T> {
    /// A transition was read; the order of calls is that of reading.
    pub fn transition(&mut self, arrival: Arrival<T>) {
        self.reach(&arrival);
        self.transitions.push_back(arrival);
    }

    /// An event was read. Not while one is decided and not yet taken.
    pub fn event(&mut self, arrival: Arrival<T>) {
        if let Some(reached) = self.reach(&arrival) {
            *reached = (arrival.header.timestamp(), arrival.at_ns);
        }
        // Each client's events are in order; those of several are put in order here.
        let later = |e: &Arrival<T>| {
            (e.session, e.header.timestamp()) > (arrival.session, arrival.header.timestamp())
                && e.client != arrival.client
        };
        let behind = self.events.iter().rev().take_while(|e| later(e)).count();
        self.events.insert(self.events.len() - behind, arrival);
    }

    /// Sessions below this one are over.
    pub fn living(&mut self, session: u64) {
        self.living = session;
    }

    /// Where the client of an arrival has got to.
    fn reach(&mut self, arrival: &Arrival<T>) -> Option<&mut (u64, u64)> {
        if self.reading < arrival.session {
            (self.reading, self.reached) = (arrival.session, Vec::new());
        }
        if self.reached.len() <= arrival.client {
            self.reached.resize(arrival.client + 1, (0, 0));
        }
        self.reached.get_mut(arrival.client)
    }

    /// What comes next. At `quiet_ns` there was nothing more to be read, and what was read until then is
    /// here. What is not to come is taken out and handed to `drop`, with whether it is an event.
    pub fn decide(
        &mut self,
        (now_ns, quiet_ns): (u64, u64),
        counts: &mut Counts,
        tallies: &Tallies,
        mut drop: impl FnMut(bool, T),
    ) -> Turn {
        loop {
            if self.transition_is_void(counts, tallies) {
                if let Some(transition) = self.transitions.pop_front() {
                    drop(false, transition.body);
                }
                continue;
            }
            let transition = self.transitions.front();
            let event = self.events.front();
            let first = match (transition, event) {
                (Some(transition), Some(event)) => self.first(event, transition),
                (None, Some(event)) => match self.too_early(event, quiet_ns) {
                    0 => First::Event,
                    left => return Turn::Wait(Some(left)),
                },
                (Some(_), None) => First::Transition,
                (None, None) => return Turn::Wait(None),
            };
            if let Some(event) = event.filter(|_| first == First::Event) {
                let Some(why) = self.void(event) else { return Turn::Event(event.header) };
                tallies.add(why);
                if let Some(event) = self.events.pop_front() {
                    drop(true, event.body);
                }
                continue;
            }
            let Some(transition) = transition else { return Turn::Wait(None) };
            let Some(kind) = kind_of(transition.header.service()) else { continue };
            // Who waits for other clients with events in hand has no room for more, in the end.
            let left = self.settling(transition, if event.is_some() { now_ns } else { quiet_ns });
            if left > 0 && first != First::TransitionNow {
                return Turn::Wait(Some(left));
            }
            return Turn::Transition(kind, transition.header);
        }
    }

    /// True when the oldest transition is not to be told, and counts why.
    fn transition_is_void(&mut self, counts: &mut Counts, tallies: &Tallies) -> bool {
        let Some(front) = self.transitions.front() else { return false };
        let (session, client, header) = (front.session, front.client, front.header);
        let configure = kind_of(header.service()) == Some(TransitionKind::Configure);
        if kind_of(header.service()).is_none() {
            counts.add(Count::OtherServices);
            return true;
        }
        if self.session != Some(session) {
            if !configure {
                tallies.add(Tally::TransitionsBeforeConfigure);
            }
            // The first Configure of a server's life takes the place of whatever there was.
            return !configure;
        }
        if self.known(client, mark(&header)) {
            return true;
        }
        let repeated = place(&header).is_some_and(|at| self.in_force[at] == Some(mark(&header)));
        if repeated {
            tallies.add(Tally::RepeatedTransitions);
        }
        repeated
    }

    /// Whether another client brought it before. A client has all that came before what it brings.
    fn known(&mut self, client: usize, mark: Mark) -> bool {
        let from = self.clients.get(client).copied().unwrap_or(0).max(self.first_told);
        let behind = self.told.iter().skip((from - self.first_told) as usize);
        let Some(ahead) = behind.into_iter().position(|told| *told == mark) else { return false };
        self.stands(client, from + ahead as u64 + 1);
        true
    }

    fn stands(&mut self, client: usize, at: u64) {
        if self.clients.len() <= client {
            self.clients.resize(client + 1, 0);
        }
        self.clients[client] = at;
    }

    /// Why an event is left out.
    fn void(&self, event: &Arrival<T>) -> Option<Tally> {
        if self.session != Some(event.session) {
            return Some(Tally::EventsBeforeConfigure);
        }
        (event.header.timestamp() < self.closed).then_some(Tally::EventsOfClosedSteps)
    }

    fn first(&self, event: &Arrival<T>, transition: &Arrival<T>) -> First {
        if event.session != transition.session {
            let older = event.session < transition.session;
            return if older { First::Event } else { First::TransitionNow };
        }
        let timestamp = event.header.timestamp();
        // Time goes back, as in a recording that is played again: what is not older than the newest
        // event so far is of before, all else of after.
        let back = |t: &Arrival<T>| begins_anew(&t.header) && t.header.timestamp() < self.newest;
        let after =
            |t: &Arrival<T>| t.session == event.session && t.header.timestamp() <= timestamp;
        if timestamp < self.newest && self.transitions.iter().any(|t| back(t) && after(t)) {
            return First::TransitionNow;
        }
        if timestamp >= self.newest && back(transition) {
            return First::Event;
        }
        match timestamp < transition.header.timestamp() {
            true => First::Event,
            false => First::Transition,
        }
    }

    /// How long an event still waits, ns: where none are expected, what enables it may be on its way.
    fn too_early(&self, event: &Arrival<T>, quiet_ns: u64) -> u64 {
        if self.flowing || self.void(event).is_some() {
            return 0;
        }
        (event.at_ns + SETTLE_NS).saturating_sub(quiet_ns)
    }

    /// How long events before a transition are still waited for, ns: of clients of which none came that
    /// is not older.
    fn settling(&self, transition: &Arrival<T>, now_ns: u64) -> u64 {
        let over = transition.session < self.living || self.session != Some(transition.session);
        let behind = self.reached.iter().filter(|(ts, _)| *ts < transition.header.timestamp());
        let Some(last_ns) = behind.map(|(_, at_ns)| *at_ns).max().filter(|_| !over) else {
            return 0;
        };
        if !self.flowing {
            return 0;
        }
        (last_ns.max(transition.at_ns) + SETTLE_NS).saturating_sub(now_ns)
    }

    /// Takes the event that was decided.
    pub fn take_event(&mut self) -> Option<Arrival<T>> {
        let event = self.events.pop_front()?;
        self.newest = self.newest.max(event.header.timestamp());
        self.flowing = true;
        Some(event)
    }

    /// The event that was decided.
    pub fn front_event(&self) -> Option<&Arrival<T>> {
        self.events.front()
    }

    /// Takes the transition that was decided.
    pub fn take_transition(&mut self) -> Option<Arrival<T>> {
        let transition = self.transitions.pop_front()?;
        if self.session != Some(transition.session) {
            // Another life of the server: what was in force in the last one is not any more.
            let fresh = Order {
                transitions: std::mem::take(&mut self.transitions),
                events: std::mem::take(&mut self.events),
                session: Some(transition.session),
                living: self.living,
                reading: self.reading,
                reached: std::mem::take(&mut self.reached),
                ..Order::default()
            };
            *self = fresh;
        }
        let header = &transition.header;
        self.force(header);
        if begins_anew(header) {
            self.newest = 0;
        }
        self.told.push_back(mark(header));
        if self.told.len() > REMEMBERED {
            self.told.pop_front();
            self.first_told += 1;
        }
        self.stands(transition.client, self.first_told + self.told.len() as u64);
        Some(transition)
    }

    fn force(&mut self, header: &Header) {
        use TransitionKind as T;
        let Some(kind) = kind_of(header.service()) else { return };
        if kind != T::SlowUpdate {
            self.flowing = kind == T::Enable;
        }
        if !matches!(kind, T::SlowUpdate | T::Enable | T::Disable) {
            self.closed = header.timestamp();
        }
        // What begins or ends ends what is within it.
        let ended = match kind {
            T::Configure | T::Unconfigure => 0,
            T::BeginRun | T::EndRun => 1,
            T::BeginStep | T::EndStep => 2,
            T::Enable | T::Disable => 3,
            T::SlowUpdate | T::GraphUpdate => return,
        };
        self.in_force[ended..].fill(None);
        if let Some(at) = place(header) {
            self.in_force[at] = Some(mark(header));
        }
    }
}

/// Place of a transition that begins something among those in force.
fn place(header: &Header) -> Option<usize> {
    match kind_of(header.service())? {
        TransitionKind::Configure => Some(0),
        TransitionKind::BeginRun => Some(1),
        TransitionKind::BeginStep => Some(2),
        TransitionKind::Enable => Some(3),
        _ => None,
    }
}

fn begins_anew(header: &Header) -> bool {
    matches!(kind_of(header.service()), Some(TransitionKind::Configure | TransitionKind::BeginRun))
}
