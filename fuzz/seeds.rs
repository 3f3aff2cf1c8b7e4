//! Writes samples of what each decoder understands to corpus/NAME, for cargo-fuzz to begin with.

use ami_tests::decoders::DECODERS;

fn main() -> std::io::Result<()> {
    for decoder in DECODERS {
        let dir = format!("corpus/{}", decoder.name);
        std::fs::create_dir_all(&dir)?;
        for (n, sample) in (decoder.samples)().iter().enumerate() {
            std::fs::write(format!("{dir}/sample-{n}"), sample)?;
        }
    }
    Ok(())
}
