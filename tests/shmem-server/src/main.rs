//! Serves LCLS-II files as a monitoring server does, or reads from such a server and throws away.

use ami_shmem_server::reference::{Client, Taken};
use ami_shmem_server::{Options, Server, dgram};
use clap::{Parser, Subcommand};
use serde_json::json;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// What is waited for comes before this, or is looked at again.
const SOON: Duration = Duration::from_millis(100);

#[derive(Debug, Parser)]
#[command(name = "ami-shmem-server", about = "Serves LCLS-II files as a monitoring server does")]
struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Serves files: the streams of one run, event-built. Prints what happened as JSON.
    Serve(Serve),
    /// Reads everything and throws it away, until the server goes. Prints how many events it got.
    Drain {
        /// Tag of the server.
        tag: String,
    },
}

#[derive(Debug, Parser)]
struct Serve {
    /// Part of the names of queues and memory.
    #[arg(long, short = 't')]
    tag: String,
    /// Buffers for events.
    #[arg(long, short = 'n', default_value_t = 8)]
    events: usize,
    /// Queues of clients.
    #[arg(long, short = 'c', default_value_t = 1)]
    queues: usize,
    /// Bytes of a buffer.
    #[arg(long, short = 's', default_value_t = 0x90_0000)]
    size: usize,
    /// Events per second; 0: as fast as they can be posted.
    #[arg(long, short = 'r', default_value_t = 60.0)]
    rate: f64,
    /// Passes over the files; 0 forever. Every pass but the first is shifted in time behind the last and
    /// has no Configure.
    #[arg(long, short = 'L', default_value_t = 1)]
    loops: u64,
    /// Every event visits every client.
    #[arg(long)]
    serial: bool,
    /// Posts an event only where a buffer is free, so that none is stolen, as where events are
    /// requested.
    #[arg(long)]
    pull: bool,
    /// Starts once so many clients are there.
    #[arg(long, default_value_t = 1)]
    wait: usize,
    /// Posts every event so many times, a microsecond apart.
    #[arg(long, default_value_t = 1)]
    repeat: u64,
    /// Leaves out the first events.
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// Goes on serving after the last datagram, until it is killed.
    #[arg(long)]
    stay: bool,
    /// The files.
    #[arg(required = true)]
    files: Vec<PathBuf>,
}

fn main() -> anyhow::Result<()> {
    match Arguments::parse().what {
        What::Serve(serve) => serve.run(),
        What::Drain { tag } => drain(&tag),
    }
}

/// Time from the first to the last datagram and one step more, so that passes follow each other.
fn length(dgrams: &[Vec<u8>]) -> u64 {
    let ns = |d: &Vec<u8>| {
        let t = dgram::timestamp(d);
        (t >> 32) * 1_000_000_000 + (t & 0xffff_ffff)
    };
    let last = dgrams.iter().map(ns).max().unwrap_or(0);
    last - dgrams.iter().map(ns).min().unwrap_or(0) + 1_000_000
}

fn shifted(dgram: &[u8], ns: u64) -> Vec<u8> {
    let t = dgram::timestamp(dgram);
    let t = (t >> 32) * 1_000_000_000 + (t & 0xffff_ffff) + ns;
    dgram::at(dgram, ((t / 1_000_000_000) << 32) | (t % 1_000_000_000))
}

impl Serve {
    fn run(&self) -> anyhow::Result<()> {
        let streams: Result<Vec<_>, _> = self.files.iter().map(|path| dgram::file(path)).collect();
        let dgrams = dgram::merged(&streams?);
        let mut server = Server::start(Options {
            tag: self.tag.clone(),
            events: self.events,
            queues: self.queues,
            size: self.size,
            serial: self.serial,
        })?;
        while server.clients() < self.wait {
            server.wait(SOON);
            server.poll();
        }
        let began = Instant::now();
        let (mut events, mut pass) = (0u64, 0);
        while self.loops == 0 || pass < self.loops {
            let shift = pass * length(&dgrams);
            for dgram in &dgrams {
                let dgram = if shift > 0 { shifted(dgram, shift) } else { dgram.clone() };
                if pass > 0 && dgram::service(&dgram) == dgram::CONFIGURE {
                    continue;
                }
                if !dgram::is_event(&dgram) {
                    self.transition(&mut server, &dgram);
                    continue;
                }
                for n in 0..self.repeat {
                    events += 1;
                    if events > self.from {
                        let dgram = if n > 0 { shifted(&dgram, 1000 * n) } else { dgram.clone() };
                        self.event(&mut server, &dgram, began, events - self.from);
                    }
                }
            }
            pass += 1;
        }
        let seconds = began.elapsed().as_secs_f64();
        let counts = server.counts.clone();
        println!(
            "{}",
            json!({"posted": counts.posted, "stolen": counts.stolen, "dropped": counts.dropped,
                   "seconds": seconds, "per_second": counts.posted as f64 / seconds})
        );
        let end = Instant::now();
        while self.stay || (server.free() < self.events && end.elapsed() < Duration::from_secs(5)) {
            server.wait(SOON);
            server.poll();
        }
        // Clients read the last transitions before the server goes.
        std::thread::sleep(Duration::from_millis(200));
        server.poll();
        Ok(())
    }

    fn transition(&self, server: &mut Server, dgram: &[u8]) {
        // Enable takes back what is unread: nobody is to lose anything here.
        while self.pull && dgram::service(dgram) == dgram::ENABLE && server.free() < self.events {
            server.wait(SOON);
            server.poll();
        }
        server.transition(dgram);
    }

    fn event(&self, server: &mut Server, dgram: &[u8], began: Instant, number: u64) {
        if self.rate > 0.0 {
            let due = Duration::from_secs_f64(number as f64 / self.rate);
            while began.elapsed() < due {
                server.wait(due - began.elapsed().min(due));
                server.poll();
            }
        }
        server.poll();
        while self.pull && !server.has_room() {
            server.wait(SOON);
            server.poll();
        }
        server.event(dgram);
    }
}

fn drain(tag: &str) -> anyhow::Result<()> {
    let mut client = Client::connect(tag)?;
    let (mut events, mut bytes, mut began) = (0u64, 0, Instant::now());
    loop {
        match client.take() {
            Taken::Event(dgram) => {
                if events == 0 {
                    began = Instant::now();
                }
                events += 1;
                bytes += dgram.len();
            }
            Taken::Transition(_) => {}
            Taken::Nothing => client.wait(SOON),
            Taken::End => break,
        }
    }
    let seconds = began.elapsed().as_secs_f64();
    println!("{}", json!({"events": events, "bytes": bytes, "seconds": seconds}));
    Ok(())
}
