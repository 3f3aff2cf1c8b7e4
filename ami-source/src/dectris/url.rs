//! `dectris:tcp://HOST:PORT[,tcp://…]`.

use crate::dectris::Series;
use crate::kinds::UrlPart;
use crate::live::{Inflow, Live, Plan, addresses};
use crate::opener::Opened;
use crate::url::{SourceSpec, choice, number};
use ami_proto::socket::foreign::{Bounds, Side};

/// Which clock gives events their time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stamps {
    /// The detector's.
    Detector,
    /// This machine's, when the message came.
    Arrival,
}

/// Where streams come from, and how they are read.
#[derive(Debug, Clone, PartialEq)]
pub struct DectrisUrl {
    /// The detector control units.
    pub addresses: Vec<String>,
    /// What fields are named by.
    pub name: String,
    /// Whose time events have.
    pub stamps: Stamps,
    /// Bytes of tables of a header that are kept: masks, flatfields.
    pub tables_bytes: usize,
    /// Bytes of messages that wait.
    pub queue_bytes: usize,
    /// Bytes of a message at most.
    pub message_bytes: usize,
}

/// Messages that wait in libzmq, of each peer.
const WAITING: i32 = 8;
const MIB: usize = 1 << 20;

impl DectrisUrl {
    pub(crate) const OPTIONS: &[&str] =
        &["name", "stamps", "tables_mib", "queue_mib", "message_mib"];

    /// Reads what stands before the options.
    ///
    /// # Errors
    /// When an address is none.
    pub fn read(part: &str) -> Result<DectrisUrl, String> {
        Ok(DectrisUrl {
            addresses: addresses(part, "dectris:tcp://detector:31001")?,
            name: "dectris".into(),
            stamps: Stamps::Detector,
            tables_bytes: 64 * MIB,
            queue_bytes: 256 * MIB,
            message_bytes: 256 * MIB,
        })
    }
}

impl UrlPart for DectrisUrl {
    fn options(&self) -> &'static [&'static str] {
        DectrisUrl::OPTIONS
    }

    fn set(&mut self, key: &str, value: &str) -> Result<(), String> {
        let mib = || number(key, value).map(|n| (n as usize).min(1 << 20) * MIB);
        match key {
            "name" => self.name = crate::live::detector(key, value)?,
            "stamps" => {
                let words = [("detector", Stamps::Detector), ("arrival", Stamps::Arrival)];
                self.stamps = choice(key, value, &words)?;
            }
            "tables_mib" => self.tables_bytes = mib()?,
            "queue_mib" => self.queue_bytes = mib()?.max(MIB),
            _ => self.message_bytes = mib()?.max(MIB),
        }
        Ok(())
    }

    fn live(&self) -> bool {
        true
    }

    fn open(&self, _: &SourceSpec, _: u32, _: &str) -> anyhow::Result<Opened> {
        let inflow = Inflow::start(Plan {
            kind: zmq::PULL,
            side: Side::Connect,
            sockets: vec![self.addresses.clone()],
            topic: String::new(),
            bounds: Bounds { waiting: WAITING, sending: WAITING, frame: self.message_bytes as i64 },
            queue_bytes: self.queue_bytes,
            request: None,
            what: "a DECTRIS detector",
        })?;
        Ok(Opened::Live(Box::new(Live::new(inflow, Series::new(self.clone())))))
    }
}
