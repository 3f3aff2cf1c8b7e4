//! The source: what the receiver's thread read, in order, as events and transitions.

use crate::brackets::Brackets;
use crate::shmem::ShmemOptions;
use crate::shmem::inbox::{Datagram, Inbox};
use crate::shmem::order::{Order, Turn};
use crate::shmem::pulse::Pulses;
use crate::shmem::receiver::Receiver;
use crate::shmem::tally::Tally;
use crate::source::{Next, Source, Transition, Written};
use crate::timed::Timed;
use crate::url::Epoch;
use crate::xtc2::counts::Counts;
use crate::xtc2::dgram::Header;
use crate::xtc2::held::labels;
use crate::xtc2::names::Table;
use crate::xtc2::reading::{Datagrams, Reading};
use crate::xtc2::schema::Labels;
use ami_proto::data_path::chunk::ChunkWriter;
use ami_proto::data_path::transition::TransitionKind;
use anyhow::Context;
use std::collections::VecDeque;
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

/// What waits for silence is looked at again after this time at the earliest.
const LOOK: Duration = Duration::from_millis(5);

/// Reads the monitoring shared memory.
#[derive(Debug)]
pub struct ShmemSource {
    inbox: Arc<Inbox>,
    receiver: Option<JoinHandle<()>>,
    epoch: Epoch,
    order: Order<Datagram>,
    table: Table,
    reading: Reading,
    brackets: Brackets,
    /// Transitions that close what was left open, to be delivered before the one that is announced.
    closing: VecDeque<Transition>,
    announced: Option<Turn>,
    due: Option<Duration>,
    /// When the queues of events were last found empty.
    quiet_ns: u64,
    newest: Option<u64>,
    pulses: Pulses,
    counts: Counts,
}

/// The one stream: everything of a pulse is in one datagram.
struct One<'a>(&'a Table, &'a [u8]);

impl Datagrams for One<'_> {
    fn table(&self, _: usize) -> &Table {
        self.0
    }

    fn dgram(&self, _: usize) -> &[u8] {
        self.1
    }
}

impl ShmemSource {
    /// A client of the server of a tag, which need not be there yet.
    ///
    /// # Errors
    /// When the system has no descriptor or no thread left.
    pub fn open(tag: &str, options: &ShmemOptions) -> anyhow::Result<ShmemSource> {
        let no = "is the limit of descriptors or threads reached?";
        let inbox = Arc::new(Inbox::new().with_context(|| format!("no event descriptor: {no}"))?);
        let receiver = Receiver::new(tag, options.clients, options.hold, inbox.clone());
        let thread = std::thread::Builder::new().name("shmem".into());
        let receiver = thread.spawn(move || receiver.run());
        Ok(ShmemSource {
            inbox,
            receiver: Some(receiver.with_context(|| format!("no thread: {no}"))?),
            epoch: options.epoch,
            order: Order::default(),
            table: Table::default(),
            reading: Reading::default(),
            brackets: Brackets::default(),
            closing: VecDeque::new(),
            announced: None,
            due: None,
            quiet_ns: 0,
            newest: None,
            pulses: Pulses::default(),
            counts: Counts::default(),
        })
    }

    /// Takes over what was read.
    fn pull(&mut self) {
        // Before: what was read until then is taken over now.
        self.quiet_ns = self.inbox.quiet_ns();
        let (mut living, order) = (None, &mut self.order);
        self.inbox.pull(
            |event, read| if event { order.event(read) } else { order.transition(read) },
            &mut living,
        );
        if let Some(living) = living {
            self.order.living(living);
        }
    }

    fn decide(&mut self) -> Turn {
        let turn = self.turn();
        if matches!(turn, Turn::Event(_)) {
            return turn;
        }
        self.pull();
        self.turn()
    }

    fn turn(&mut self) -> Turn {
        let inbox = &self.inbox;
        let times = (inbox.now_ns(), self.quiet_ns);
        self.order.decide(times, &mut self.counts, &inbox.tallies, |event, body| {
            inbox.recycle(event, body);
        })
    }

    /// A run that was never ended ends where the next one begins.
    fn close_before(&mut self, kind: TransitionKind) {
        if matches!(kind, TransitionKind::Configure | TransitionKind::BeginRun) {
            let closing = self.brackets.closing(self.newest.unwrap_or(0));
            self.inbox.tallies.more(Tally::MadeTransitions, closing.len() as u64);
            self.closing.extend(closing);
        }
    }

    fn read_transition(&mut self, kind: TransitionKind, header: &Header) -> Option<Transition> {
        let body = self.order.take_transition()?.body;
        if kind == TransitionKind::Configure {
            self.table = Table::read(&body.block, &mut self.counts);
            let mut codes = Labels::new();
            labels(&self.table, &body.block, None, &mut codes);
            let alone = Some(&body.block[..]);
            self.reading.configure(&[&self.table], &codes, alone, &mut self.counts);
        }
        if kind != TransitionKind::SlowUpdate {
            self.pulses.pause();
        }
        let (what, one) = ((kind, self.epoch.stamp(header)), One(&self.table, &body.block));
        let transition = self.reading.transition(what, &one, &[0], &mut self.counts);
        self.inbox.recycle(false, body);
        Some(transition)
    }

    fn took(&mut self, transition: &Transition) {
        self.brackets.on(transition.kind);
        self.newest = self.newest.max(Some(transition.timestamp));
    }

    /// Takes the announced event away; `pulse` as its data say.
    fn take_event(&mut self, stamp: u64, pulse: Option<u64>) {
        self.announced = None;
        self.newest = self.newest.max(Some(stamp));
        if let Some(missing) = pulse.map(|pulse| self.pulses.on(pulse)).filter(|n| *n > 0) {
            self.inbox.tallies.add(Tally::PulseGaps);
            self.inbox.tallies.more(Tally::PulsesMissing, missing);
        }
        if let Some(event) = self.order.take_event() {
            self.inbox.recycle(true, event.body);
        }
    }
}

impl Source for ShmemSource {
    fn next(&mut self) -> anyhow::Result<Next> {
        if let Some(transition) = self.closing.front() {
            return Ok(Next::Transition(transition.timestamp));
        }
        let turn = match self.announced {
            Some(turn) => turn,
            None => self.decide(),
        };
        match turn {
            Turn::Wait(due) => {
                self.due = due.map(|ns| Duration::from_nanos(ns).max(LOOK));
                Ok(Next::Pending)
            }
            Turn::Event(header) => {
                self.announced = Some(turn);
                Ok(Next::Event(self.epoch.stamp(&header)))
            }
            Turn::Transition(kind, header) => {
                if self.announced.replace(turn).is_none() {
                    self.close_before(kind);
                }
                let made = self.closing.front().map(|t| t.timestamp);
                Ok(Next::Transition(made.unwrap_or_else(|| self.epoch.stamp(&header))))
            }
        }
    }

    fn transition(&mut self) -> Option<Transition> {
        let transition = match (self.closing.pop_front(), self.announced) {
            (Some(made), _) => made,
            (None, Some(Turn::Transition(kind, header))) => {
                self.announced = None;
                self.read_transition(kind, &header)?
            }
            _ => return None,
        };
        self.took(&transition);
        Some(transition)
    }

    fn write(
        &mut self,
        out: &mut ChunkWriter<'_>,
        before: u64,
        max: usize,
    ) -> anyhow::Result<Written> {
        let mut last = None;
        let mut written = 0;
        while written < max && out.room() > 0 {
            let Next::Event(stamp) = self.next()? else { break };
            if last.is_some_and(|last| stamp < last || stamp >= before) {
                break;
            }
            let Some(event) = self.order.front_event() else { break };
            out.event(stamp);
            let mut counts = Counts::default();
            let one = One(&self.table, &event.body.block);
            if self.reading.event(&one, &[0], out, &mut counts).is_err() {
                // Its damage is counted when it is taken.
                out.cancel();
                return Ok(Written::Full(written));
            }
            self.counts.take(&mut counts);
            self.take_event(stamp, self.reading.pulse_id());
            last = Some(stamp);
            written += 1;
        }
        Ok(Written::Events(written))
    }

    fn skip(&mut self) {
        let Some(Turn::Event(header)) = self.announced else { return };
        let pulse = self.order.front_event().and_then(|event| {
            let one = One(&self.table, &event.body.block);
            self.reading.pulse_id_in(&one, &[0])
        });
        self.take_event(self.epoch.stamp(&header), pulse);
    }

    fn counters(&self) -> Vec<(&'static str, u64)> {
        let mut list = self.inbox.tallies.list();
        list.extend(self.counts.list());
        list
    }

    fn canned(&self) -> bool {
        false
    }

    fn lost(&self) -> bool {
        self.inbox.clients() == 0
    }

    fn due_in(&self) -> Option<Duration> {
        self.due
    }

    fn wakes(&self) -> Option<BorrowedFd<'_>> {
        Some(self.inbox.bell())
    }
}

impl Timed for ShmemSource {
    fn newest(&self) -> Option<u64> {
        self.newest
    }
}

impl Drop for ShmemSource {
    fn drop(&mut self) {
        self.inbox.stop();
        if let Some(receiver) = self.receiver.take() {
            // One that panicked has said so.
            let _ = receiver.join();
        }
        // What is held back in the queue holds the queue.
        self.pull();
    }
}
