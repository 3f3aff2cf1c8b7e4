//! How many events per second a source takes from a monitoring server, without anything behind it:
//! `shmem-rate shmem:TAG` reads until the server goes and prints a line of JSON.

use ami_proto::data_path::chunk::{ChunkWriter, HeapArena, Staging};
use ami_source::SourceSpec;
use ami_source::source::Next;
use anyhow::Context;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::time::{Duration, Instant};

fn main() -> anyhow::Result<()> {
    let url = std::env::args().nth(1).context("usage: shmem-rate shmem:TAG")?;
    let mut source = ami_source::open(&url.parse::<SourceSpec>()?, 0, "here", 0)?;
    let mut memory = HeapArena::new(256 << 20);
    let mut staging = Staging::default();
    let (mut events, mut began, mut connected) = (0u64, Instant::now(), false);
    loop {
        match source.next()? {
            Next::End => break,
            Next::Pending if connected && source.lost() => break,
            Next::Pending => {
                let fd = source.wakes().context("a live source wakes")?;
                let mut fds = [PollFd::from_borrowed_fd(fd, PollFlags::IN)];
                let most = Timespec::try_from(Duration::from_millis(10)).ok();
                let _ = poll(&mut fds, most.as_ref());
            }
            Next::Transition(_) => {
                connected = true;
                let schema = source.transition().and_then(|t| t.schema);
                if let Some(schema) = schema {
                    staging = Staging::new(&schema);
                }
            }
            Next::Event(_) => {
                if events == 0 {
                    began = Instant::now();
                }
                let mut out = ChunkWriter::new(&mut staging, &mut memory, 0, 1024, 128 << 20);
                source.write(&mut out, u64::MAX, 1024)?;
                events += staging.events() as u64;
                // As if the chunk was handed on.
                staging.clear();
                memory.head = 0;
            }
        }
    }
    for (name, count) in source.counters().into_iter().filter(|(_, count)| *count > 0) {
        println!("{name} {count}");
    }
    let seconds = began.elapsed().as_secs_f64();
    println!(
        "{{\"events\": {events}, \"seconds\": {seconds:.3}, \"per_second\": {:.0}}}",
        events as f64 / seconds
    );
    Ok(())
}
