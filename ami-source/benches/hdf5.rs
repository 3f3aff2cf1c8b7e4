//! What reading HDF5 costs beside h5py: `cargo bench -p ami-source --bench hdf5`, with an interpreter that has
//! h5py and hdf5plugin (`make python`, or AMI_TEST_PYTHON).

#![allow(clippy::unwrap_used)] // a benchmark that cannot go on has failed

use ami_graph::data::schema::Schema;
use ami_proto::data_path::chunk::{ChunkWriter, HeapArena, Staging};
use ami_source::SourceSpec;
use ami_source::source::Next;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

/// GB/s of a field's bytes into an arena that is used again and again, as the ring is.
fn rate(url: &str, bytes: usize) -> f64 {
    let spec: SourceSpec = url.parse().unwrap();
    let mut source = ami_source::open(&spec, 0, "bench", 0).unwrap();
    let mut memory = HeapArena::new(64 << 20);
    bytemuck::cast_slice_mut::<u64, u8>(&mut memory.words).fill(1);
    let (mut staging, mut schema, mut events) = (Staging::default(), Schema::default(), 0usize);
    let begin = Instant::now();
    loop {
        match source.next().unwrap() {
            Next::Transition(_) => {
                if let Some(new) = source.transition().unwrap().schema {
                    schema = (*new).clone();
                    staging = Staging::new(&schema);
                }
            }
            Next::Event(_) => {
                memory.head = 0;
                let mut out = ChunkWriter::new(&mut staging, &mut memory, 0, 4096, 32 << 20);
                source.write(&mut out, u64::MAX, 4096).unwrap();
                events += staging.events();
                staging.clear();
            }
            Next::Pending => {}
            Next::End => break,
        }
    }
    assert!(!schema.fields.is_empty());
    events as f64 * bytes as f64 / begin.elapsed().as_secs_f64() / 1e9
}

fn main() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let of_make = || here.join("../.venv/bin/python").into();
    let python = std::env::var_os("AMI_TEST_PYTHON").unwrap_or_else(of_make);
    let dir = tempfile::tempdir().unwrap();
    let script = here.join("benches/hdf5.py");
    let theirs = Command::new(python).arg(script).arg(dir.path()).output().unwrap();
    assert!(theirs.status.success(), "{}", String::from_utf8_lossy(&theirs.stderr));
    let rows: Vec<(String, usize, f64)> = serde_json::from_slice(&theirs.stdout).unwrap();
    println!("{:<16} {:>9} {:>9} {:>7}   GB/s", "", "ami", "h5py", "ratio");
    for (name, bytes, theirs) in rows {
        let url = format!("hdf5:{}/{name}.h5", dir.path().display());
        let ours = (0..3).map(|_| rate(&url, bytes)).fold(0.0, f64::max);
        println!("{name:<16} {ours:>9.3} {theirs:>9.3} {:>7.2}", ours / theirs);
    }
}
