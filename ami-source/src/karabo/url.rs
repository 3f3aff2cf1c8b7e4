//! `karabo:tcp://HOST:PORT[,tcp://…]`.

use crate::karabo::Trains;
use crate::kinds::UrlPart;
use crate::live::{Inflow, Live, Plan, addresses, detector};
use crate::opener::Opened;
use crate::url::{SourceSpec, choice, number, positive};
use ami_proto::socket::foreign::{Bounds, Side};

/// How a bridge gives its trains.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pattern {
    /// It is asked for each.
    Req,
    /// It sends each to everybody.
    Sub,
    /// It sends each to somebody.
    Pull,
}

/// What becomes an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pulses {
    /// A train: its pulses are an axis of its arrays.
    Axis,
    /// A pulse.
    Events,
}

/// Which bridges, and how their trains are read.
#[derive(Debug, Clone, PartialEq)]
pub struct KaraboUrl {
    /// The bridges.
    pub addresses: Vec<String>,
    /// How they give their trains.
    pub pattern: Pattern,
    /// What becomes an event.
    pub pulses: Pulses,
    /// What fields of ami's own are named by.
    pub name: String,
    /// Events have the time when their message came, not that of the train.
    pub arrival: bool,
    /// Parts of several bridges are put together; None: where there are several.
    pub matched: Option<bool>,
    /// How long parts of a train are waited for.
    pub match_ns: u64,
    /// Trains that wait for their parts.
    pub match_trains: usize,
    /// Bytes of messages that wait.
    pub queue_bytes: usize,
    /// Bytes of a message at most.
    pub message_bytes: usize,
}

/// Trains that wait in libzmq, of each bridge: as bridges do.
const WAITING: i32 = 1;
const MIB: usize = 1 << 20;

impl KaraboUrl {
    pub(crate) const OPTIONS: &[&str] = &[
        "pattern",
        "pulses",
        "name",
        "stamps",
        "match",
        "match_ms",
        "match_trains",
        "queue_mib",
        "message_mib",
    ];

    /// Reads what stands before the options.
    ///
    /// # Errors
    /// When an address is none.
    pub fn read(part: &str) -> Result<KaraboUrl, String> {
        Ok(KaraboUrl {
            addresses: addresses(part, "karabo:tcp://bridge:45454")?,
            pattern: Pattern::Req,
            pulses: Pulses::Axis,
            name: "karabo".into(),
            arrival: false,
            matched: None,
            match_ns: 500_000_000,
            match_trains: 32,
            queue_bytes: 1024 * MIB,
            message_bytes: 2048 * MIB,
        })
    }

    /// True when parts of trains are put together.
    pub(super) fn matches(&self) -> bool {
        self.matched.unwrap_or(self.addresses.len() > 1)
    }
}

impl UrlPart for KaraboUrl {
    fn options(&self) -> &'static [&'static str] {
        KaraboUrl::OPTIONS
    }

    fn set(&mut self, key: &str, value: &str) -> Result<(), String> {
        let mib = || number(key, value).map(|n| (n as usize).clamp(1, 1 << 20) * MIB);
        match key {
            "pattern" => {
                let words = [("req", Pattern::Req), ("sub", Pattern::Sub), ("pull", Pattern::Pull)];
                self.pattern = choice(key, value, &words)?;
            }
            "pulses" => {
                let words = [("axis", Pulses::Axis), ("events", Pulses::Events)];
                self.pulses = choice(key, value, &words)?;
            }
            "name" => self.name = detector(key, value)?,
            "stamps" => self.arrival = choice(key, value, &[("train", false), ("arrival", true)])?,
            "match" => {
                self.matched = Some(choice(key, value, &[("train", true), ("none", false)])?);
            }
            "match_ms" => self.match_ns = positive(key, value)?.min(600_000) * 1_000_000,
            "match_trains" => self.match_trains = positive(key, value)?.min(10_000) as usize,
            "queue_mib" => self.queue_bytes = mib()?,
            _ => self.message_bytes = mib()?,
        }
        Ok(())
    }

    fn live(&self) -> bool {
        true
    }

    fn open(&self, _: &SourceSpec, _: u32, _: &str) -> anyhow::Result<Opened> {
        // A request to a bridge that is gone must not hold the others: DEALER asks like REQ, and
        // may ask again.
        let (kind, request): (_, Option<&[&[u8]]>) = match self.pattern {
            Pattern::Req => (zmq::DEALER, Some(&[b"", b"next"])),
            Pattern::Sub => (zmq::SUB, None),
            Pattern::Pull => (zmq::PULL, None),
        };
        let inflow = Inflow::start(Plan {
            kind,
            side: Side::Connect,
            sockets: self.addresses.iter().map(|address| vec![address.clone()]).collect(),
            topic: String::new(),
            bounds: Bounds { waiting: WAITING, sending: WAITING, frame: self.message_bytes as i64 },
            queue_bytes: self.queue_bytes,
            request,
            what: "a karabo-bridge",
        })?;
        Ok(Opened::Live(Box::new(Live::new(inflow, Trains::new(self.clone())))))
    }
}
