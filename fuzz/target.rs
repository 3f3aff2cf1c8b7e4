//! The decoder of this target's name gets what libFuzzer makes up: it may refuse it, but not panic, hang
//! or take much memory.
#![no_main]

use ami_tests::decoders::{DECODERS, Decoder};
use libfuzzer_sys::fuzz_target;
use std::path::PathBuf;
use std::sync::LazyLock;

static DECODER: LazyLock<&Decoder> = LazyLock::new(|| {
    let found = DECODERS.iter().find(|d| d.name == env!("CARGO_BIN_NAME"));
    found.expect("each target has a decoder's name")
});

/// For decoders that read files.
static DIR: LazyLock<PathBuf> = LazyLock::new(|| {
    let dir = std::env::temp_dir().join(format!("ami-fuzz-{}", std::process::id()));
    std::fs::create_dir_all(&dir).expect("a directory for files");
    dir
});

fuzz_target!(|bytes: &[u8]| {
    (DECODER.decode)(bytes, &DIR);
});
