//! Messages as a detector sends them, made here: for tests of whatever reads them.

use minicbor::Encoder;
use minicbor::data::Tag;
use serde_json::json;

/// A message: its frames.
pub type Frames = Vec<Vec<u8>>;

/// How pixels travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Packing {
    /// As they are.
    Raw,
    /// LZ4, framed as the version of the stream wants it.
    Lz4,
    /// Bitshuffle and LZ4.
    Bslz4,
}

/// Pixels of a frame that no other frame has, little-endian u16.
pub fn pixels(frame: u64, rows: usize, columns: usize) -> Vec<u8> {
    let pixel =
        |i: usize| ((i as u64 * 31 + frame * 7) % 1000 * u64::from(i.is_multiple_of(3))) as u16;
    (0..rows * columns).flat_map(|i| pixel(i).to_le_bytes()).collect()
}

/// An LZ4 block of nothing but literals.
fn literals(bytes: &[u8]) -> Vec<u8> {
    let mut out = vec![(bytes.len().min(15) << 4) as u8];
    if let Some(mut rest) = bytes.len().checked_sub(15) {
        while rest >= 255 {
            out.push(255);
            rest -= 255;
        }
        out.push(rest as u8);
    }
    out.extend_from_slice(bytes);
    out
}

fn framed(pixels: &[u8], encode: impl Fn(&[u8]) -> Vec<u8>) -> Vec<u8> {
    let mut out = (pixels.len() as u64).to_be_bytes().to_vec();
    out.extend_from_slice(&8192u32.to_be_bytes());
    let whole =
        if pixels.len().is_multiple_of(8192) { pixels.len() } else { pixels.len() / 16 * 16 };
    for block in pixels[..whole].chunks(8192) {
        let block = encode(block);
        out.extend_from_slice(&(block.len() as u32).to_be_bytes());
        out.extend_from_slice(&block);
    }
    out.extend_from_slice(&pixels[whole..]);
    out
}

/// The bit planes of 16-bit elements.
fn planes(block: &[u8]) -> Vec<u8> {
    let groups = block.len() / 16;
    let mut out = vec![0; block.len()];
    for (at, byte) in block.iter().enumerate() {
        let (element, k) = (at / 2, at % 2);
        for bit in 0..8 {
            out[(8 * k + bit) * groups + element / 8] |= (byte >> bit & 1) << (element % 8);
        }
    }
    out
}

fn packed(pixels: &[u8], packing: Packing) -> Vec<u8> {
    match packing {
        Packing::Raw => pixels.to_vec(),
        Packing::Lz4 => framed(pixels, literals),
        Packing::Bslz4 => framed(pixels, |block| literals(&planes(block))),
    }
}

/// Version 1: the header of a series of so many images, with a mask.
pub fn v1_header(series: u64, images: u64, rows: usize, columns: usize) -> Frames {
    let config = json!({
        "beam_center_x": 3.5, "bit_depth_image": 16, "nimages": images, "description": "made",
        "x_pixels_in_detector": columns, "y_pixels_in_detector": rows, "trigger_mode": "ints",
    });
    let head = json!({"htype": "dheader-1.0", "series": series, "header_detail": "all"});
    let mask = json!({"htype": "dpixelmask-1.0", "shape": [columns, rows], "type": "uint32"});
    let zeros = vec![0; rows * columns * 4];
    vec![head.to_string().into(), config.to_string().into(), mask.to_string().into(), zeros]
}

/// Version 1: an image.
pub fn v1_image(
    series: u64,
    frame: u64,
    (rows, columns): (usize, usize),
    packing: Packing,
) -> Frames {
    let pixels = pixels(frame, rows, columns);
    let (blob, encoding) = match packing {
        Packing::Raw => (pixels, "<"),
        Packing::Lz4 => (literals(&pixels), "lz4<"),
        Packing::Bslz4 => (packed(&pixels, packing), "bs16-lz4<"),
    };
    let head = json!({"htype": "dimage-1.0", "series": series, "frame": frame, "hash": ""});
    let data = json!({"htype": "dimage_d-1.0", "shape": [columns, rows], "type": "uint16",
                      "encoding": encoding});
    let start = frame * 2_000_000;
    let times = json!({"htype": "dconfig-1.0", "start_time": start, "stop_time": start + 1_900_000,
                       "real_time": 1_900_000});
    vec![head.to_string().into(), data.to_string().into(), blob, times.to_string().into()]
}

/// Version 1: the end of a series.
pub fn v1_end(series: u64) -> Frames {
    vec![json!({"htype": "dseries_end-1.0", "series": series}).to_string().into()]
}

type Writer = Encoder<Vec<u8>>;

fn message(kind: &str, series: u64, more: impl FnOnce(&mut Writer) -> Option<()>) -> Frames {
    let mut e = Encoder::new(Vec::new());
    let done = (|| {
        e.begin_map().ok()?.str("type").ok()?.str(kind).ok()?;
        e.str("series_id").ok()?.u64(series).ok()?;
        e.str("series_unique_id").ok()?.str("01HBV3JPF9").ok()?;
        more(&mut e)?;
        e.end().ok().map(drop)
    })();
    debug_assert!(done.is_some(), "memory takes everything");
    vec![e.into_writer()]
}

fn array(e: &mut Writer, (rows, columns): (usize, usize), tag: u64, bytes: &[u8]) -> Option<()> {
    e.tag(Tag::new(40)).ok()?.array(2).ok()?.array(2).ok()?;
    e.u64(rows as u64).ok()?.u64(columns as u64).ok()?.tag(Tag::new(tag)).ok()?;
    e.bytes(bytes).ok().map(drop)
}

/// Version 2: the header of a series with two thresholds.
pub fn v2_start(series: u64, rows: usize, columns: usize) -> Frames {
    message("start", series, |e| {
        e.str("arm_date").ok()?.tag(Tag::new(0)).ok()?.str("2026-11-21T00:59:59Z").ok()?;
        e.str("channels").ok()?.array(2).ok()?;
        e.str("threshold_1").ok()?.str("threshold_2").ok()?;
        e.str("image_dtype").ok()?.str("uint16").ok()?;
        e.str("image_size_x").ok()?.u64(columns as u64).ok()?;
        e.str("image_size_y").ok()?.u64(rows as u64).ok()?;
        e.str("incident_energy").ok()?.f64(12398.4).ok()?;
        e.str("threshold_energy").ok()?.begin_map().ok()?;
        e.str("threshold_1").ok()?.f32(6199.25).ok()?.end().ok()?;
        e.str("pixel_mask").ok()?.map(1).ok()?.str("threshold_1").ok()?;
        array(e, (rows, columns), 70, &vec![0; rows * columns * 4])
    })
}

/// Version 2: an image of two thresholds; the second has the pixels of the next frame.
pub fn v2_image(series: u64, frame: u64, size: (usize, usize), packing: Packing) -> Frames {
    message("image", series, |e| {
        e.str("image_id").ok()?.u64(frame).ok()?;
        e.str("series_date").ok()?.tag(Tag::new(0)).ok()?.str("2026-11-21T01:00:00.25Z").ok()?;
        e.str("start_time").ok()?.array(2).ok()?.u64(frame * 100_000).ok()?.u64(50_000_000).ok()?;
        e.str("data").ok()?.map(2).ok()?;
        for (channel, frame) in [("threshold_1", frame), ("threshold_2", frame + 1)] {
            let bytes = packed(&pixels(frame, size.0, size.1), packing);
            e.str(channel).ok()?;
            if packing == Packing::Raw {
                array(e, size, 69, &bytes)?;
                continue;
            }
            e.tag(Tag::new(40)).ok()?.array(2).ok()?.begin_array().ok()?;
            e.u64(size.0 as u64).ok()?.u64(size.1 as u64).ok()?.end().ok()?;
            e.tag(Tag::new(69)).ok()?.tag(Tag::new(56500)).ok()?.array(3).ok()?;
            let (name, modifier) = if packing == Packing::Lz4 { ("lz4", 0) } else { ("bslz4", 2) };
            e.str(name).ok()?.u64(modifier).ok()?.bytes(&bytes).ok()?;
        }
        Some(())
    })
}

/// Version 2: the end of a series.
pub fn v2_end(series: u64) -> Frames {
    message("end", series, |_| Some(()))
}

/// Some series of both versions, with lost frames.
pub fn all() -> Vec<Frames> {
    let mut all = vec![v1_header(3, 6, 6, 11)];
    let packings = [Packing::Raw, Packing::Lz4, Packing::Bslz4];
    all.extend([0, 1, 2, 4, 5].map(|n| v1_image(3, n, (6, 11), packings[n as usize % 3])));
    all.extend([v1_end(3), v2_start(4, 40, 110)]);
    all.extend([0, 1, 3].map(|n| v2_image(4, n, (40, 110), packings[n as usize % 3])));
    all.extend([v2_end(4), v2_image(5, 9, (6, 11), Packing::Raw)]);
    all
}
