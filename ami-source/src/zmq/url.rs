//! `zmq:tcp://ADDRESS:PORT[,tcp://…]`.

use crate::kinds::UrlPart;
use crate::live::{Inflow, Live, Plan, addresses, detector};
use crate::opener::Opened;
use crate::url::{SourceSpec, choice, number};
use crate::zmq::Events;
use ami_proto::security::credentials::is_open;
use ami_proto::socket::foreign::{Bounds, Side};

/// How messages come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pattern {
    /// Each is answered once it was taken.
    Rep,
    /// Each to somebody.
    Pull,
    /// Each to everybody.
    Sub,
}

/// Where messages come from.
#[derive(Debug, Clone, PartialEq)]
pub struct ZmqUrl {
    /// Addresses, to bind or to connect to.
    pub addresses: Vec<String>,
    /// How messages come.
    pub pattern: Pattern,
    /// Who has the address; None: who usually has it.
    pub side: Option<Side>,
    /// What topics begin with that are subscribed to.
    pub topic: String,
    /// What stands before names that have no detector.
    pub name: String,
    /// Bytes of messages that wait.
    pub queue_bytes: usize,
    /// Bytes of a message at most.
    pub message_bytes: usize,
}

/// Messages that wait in libzmq, of each peer.
const WAITING: i32 = 64;
/// Answers that wait for each sender: who sends much before reading answers gets them all.
const UNREAD: i32 = 10_000;
const MIB: usize = 1 << 20;

impl ZmqUrl {
    pub(crate) const OPTIONS: &[&str] =
        &["pattern", "side", "topic", "name", "queue_mib", "message_mib"];

    /// Reads what stands before the options.
    ///
    /// # Errors
    /// When an address is none.
    pub fn read(part: &str) -> Result<ZmqUrl, String> {
        Ok(ZmqUrl {
            addresses: addresses(part, "zmq:tcp://127.0.0.1:5590")?,
            pattern: Pattern::Rep,
            side: None,
            topic: String::new(),
            name: "zmq".into(),
            queue_bytes: 64 * MIB,
            message_bytes: 64 * MIB,
        })
    }

    fn side(&self) -> Side {
        self.side.unwrap_or(match self.pattern {
            Pattern::Sub => Side::Connect,
            Pattern::Rep | Pattern::Pull => Side::Bind,
        })
    }
}

impl UrlPart for ZmqUrl {
    fn options(&self) -> &'static [&'static str] {
        ZmqUrl::OPTIONS
    }

    fn set(&mut self, key: &str, value: &str) -> Result<(), String> {
        let mib = || number(key, value).map(|n| (n as usize).clamp(1, 1 << 20) * MIB);
        match key {
            "pattern" => {
                let words = [("rep", Pattern::Rep), ("pull", Pattern::Pull), ("sub", Pattern::Sub)];
                self.pattern = choice(key, value, &words)?;
            }
            "side" => {
                let words = [("bind", Side::Bind), ("connect", Side::Connect)];
                self.side = Some(choice(key, value, &words)?);
            }
            "topic" => self.topic = value.to_owned(),
            "name" => self.name = detector(key, value)?,
            "queue_mib" => self.queue_bytes = mib()?,
            _ => self.message_bytes = mib()?,
        }
        Ok(())
    }

    fn live(&self) -> bool {
        true
    }

    fn open(&self, _: &SourceSpec, _: u32, _: &str) -> anyhow::Result<Opened> {
        let side = self.side();
        for address in self.addresses.iter().filter(|a| side == Side::Bind && is_open(a)) {
            tracing::warn!(
                address,
                "OPEN TO THE NETWORK WITHOUT KEYS: whoever reaches this port can send events; bind \
                 ipc or 127.0.0.1"
            );
        }
        let inflow = Inflow::start(Plan {
            kind: match self.pattern {
                Pattern::Rep => zmq::ROUTER,
                Pattern::Pull => zmq::PULL,
                Pattern::Sub => zmq::SUB,
            },
            side,
            sockets: vec![self.addresses.clone()],
            topic: self.topic.clone(),
            bounds: Bounds { waiting: WAITING, sending: UNREAD, frame: self.message_bytes as i64 },
            queue_bytes: self.queue_bytes,
            request: None,
            what: "senders of events",
        })?;
        let replies = (self.pattern == Pattern::Rep).then(|| inflow.replies());
        Ok(Opened::Live(Box::new(Live::new(inflow, Events::new(self.clone(), replies)))))
    }
}
