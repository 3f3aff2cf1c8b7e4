//! What is measured: sources, graphs, numbers of workers, clients and events.

use ami_graph::data::value::DType;

/// The image of a case.
#[derive(Debug, Clone, Copy)]
pub struct Image {
    /// Of its pixels.
    pub dtype: DType,
    /// Rows and columns.
    pub shape: [usize; 2],
}

impl Image {
    /// Bytes of a frame.
    pub fn bytes(self) -> usize {
        self.shape[0] * self.shape[1] * self.dtype.size()
    }
}

/// One run of the whole system.
#[derive(Debug, Clone)]
pub struct Case {
    /// `P1`.
    pub name: &'static str,
    /// Which of several runs of the case; empty when there is one.
    pub variant: String,
    /// What is done, in words.
    pub what: &'static str,
    /// The simulated source, TOML.
    pub source: &'static str,
    /// Options of the source's URL.
    pub options: String,
    /// The graph, JSON.
    pub graph: &'static str,
    /// Events in all.
    pub events: u64,
    /// Bytes that one event has in the ring.
    pub event_bytes: u64,
    /// Its image, where an event is one: what the machine does with such images is its limit.
    pub image: Option<Image>,
    /// Workers.
    pub workers: u16,
    /// Bytes of the ring.
    pub ring_bytes: u64,
    /// Further options of the system; those of the command line come after them.
    pub set: Vec<String>,
    /// What starts the system, such as `chrt -b 0`; nothing: it starts itself.
    pub launcher: &'static [&'static str],
    /// Clients beside the one that measures.
    pub clients: usize,
    /// A Python client measures the latency, where there is one.
    pub python: bool,
}

const MIB: u64 = 1 << 20;

/// Four scalars.
pub const P1: Case = Case {
    name: "P1",
    variant: String::new(),
    what: "4 scalars: mean and a histogram of 100 bins",
    source: include_str!("sources/scalars4.toml"),
    options: String::new(),
    graph: include_str!("graphs/p1.json"),
    events: 40_000_000,
    event_bytes: 40,
    image: None,
    workers: 2,
    ring_bytes: 256 * MIB,
    set: Vec::new(),
    launcher: &[],
    clients: 0,
    python: false,
};

fn p1b() -> Case {
    Case {
        name: "P1b",
        what: "20 scalars, some absent: an expression, a gate, 5 histograms, a profile of 50 bins",
        source: include_str!("sources/scalars20.toml"),
        graph: include_str!("graphs/p1b.json"),
        events: 4_000_000,
        event_bytes: 168,
        ..P1
    }
}

fn p2() -> Case {
    Case {
        name: "P2",
        what: "512×512 f64: sum over a region of 128², mean image, projection",
        source: include_str!("sources/frames_f64.toml"),
        graph: include_str!("graphs/p2.json"),
        options: "rate=10000".into(),
        events: 30_000,
        event_bytes: 2 * MIB,
        image: Some(Image { dtype: DType::F64, shape: [512, 512] }),
        ring_bytes: 4096 * MIB,
        ..P1
    }
}

fn p3() -> Case {
    Case {
        name: "P3",
        what: "1024×1024 u16: sum image",
        source: include_str!("sources/frames_u16.toml"),
        graph: include_str!("graphs/p3.json"),
        image: Some(Image { dtype: DType::U16, shape: [1024, 1024] }),
        ..p2()
    }
}

fn p3b() -> Case {
    Case {
        name: "P3b",
        what: "128×128 u8: sum of every frame, and its mean",
        source: include_str!("sources/frames_u8.toml"),
        graph: include_str!("graphs/p3b.json"),
        image: Some(Image { dtype: DType::U8, shape: [128, 128] }),
        options: String::new(),
        events: 1_000_000,
        event_bytes: 16 << 10,
        ..p2()
    }
}

fn p4(workers: u16) -> Case {
    Case {
        name: "P4",
        variant: format!("{workers} workers"),
        what: "100 heartbeats/s of 1000 scalar events, on a host set up for latency",
        graph: include_str!("graphs/p4.json"),
        options: "rate=100000&pace=realtime".into(),
        events: 1_000_000,
        workers,
        set: vec!["heartbeat.period_ms=10".into(), "instance.cpu_latency_us=0".into()],
        launcher: &["chrt", "-b", "0"],
        python: true,
        ..P1
    }
}

fn p5() -> Case {
    Case {
        name: "P5",
        variant: String::new(),
        what: "30 workers, 100 heartbeats/s: complete heartbeats",
        events: 2_000_000,
        workers: 30,
        ..p4(30)
    }
}

/// A 2-Mpixel image; `rate`: frames per second, 0 for as many as go.
pub fn p6(clients: usize, rate: u32) -> Case {
    let (options, events) = match rate {
        0 => ("rate=100".to_string(), 1500),
        hz => (format!("rate={hz}&pace=realtime"), u64::from(hz) * 12),
    };
    Case {
        name: "P6",
        variant: if rate == 0 { "capacity".into() } else { format!("{clients} clients") },
        what: "1024×2048 f32: mean image at 10 heartbeats/s to many clients, half the capacity",
        source: include_str!("sources/frames_f32.toml"),
        graph: include_str!("graphs/p6.json"),
        image: Some(Image { dtype: DType::F32, shape: [1024, 2048] }),
        options,
        events,
        event_bytes: 8 * MIB,
        // Two states of 16 MiB for every 10 frames: what is undecided must fit into the collector.
        ring_bytes: 512 * MIB,
        clients,
        ..p2()
    }
}

fn p8() -> Case {
    Case {
        name: "P8",
        what: "footprint and start of each daemon",
        options: "rate=1000&pace=realtime".into(),
        events: 2000,
        workers: 1,
        ..P1
    }
}

fn p9(base: Case, workers: u16) -> Case {
    let what = "total throughput with more workers than cores";
    let variant = format!("{} with {workers} workers", base.name);
    let events = base.events * if base.image.is_some() { 1 } else { 2 };
    Case { name: "P9", variant, what, events, workers, ..base }
}

/// Names of all cases, in the order in which they run: those that measure latency come before those
/// with a ring of 4 GiB, since a virtual machine may pause for some 10 ms after so much is given back.
pub const NAMES: [&str; 10] = ["P1", "P1b", "P4", "P5", "P8", "P2", "P3", "P3b", "P6", "P9"];

/// The runs of a case; None when there is no such case. P6 begins with one that tells the capacity.
pub fn of(name: &str) -> Option<Vec<Case>> {
    let counts = [1, 2, 4, 8, 16];
    Some(match name {
        "P1" => vec![P1],
        "P1b" => vec![p1b()],
        "P2" => vec![p2()],
        "P3" => vec![p3()],
        "P3b" => vec![p3b()],
        "P4" => thrice(&[1, 2, 8].map(p4)),
        "P5" => vec![p5()],
        "P6" => vec![p6(0, 0)],
        "P8" => thrice(&[p8()]),
        "P9" => {
            let all = |base: &Case| thrice(&counts.map(|n| p9(base.clone(), n)));
            [P1, p2()].iter().flat_map(all).collect()
        }
        _ => return None,
    })
}

/// Three rounds of all, for their medians: runs of the same differ by as much as what is looked for.
fn thrice(cases: &[Case]) -> Vec<Case> {
    [cases, cases, cases].concat()
}
