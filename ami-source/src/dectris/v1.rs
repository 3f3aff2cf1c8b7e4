//! Stream version 1: JSON and blobs, each in a frame of its own.

use crate::dectris::held::{Gathered, whole};
use crate::dectris::image::{Coding, Plane, bytes_of};
use crate::dectris::v2::dtype_of;
use crate::dectris::{Channel, Image, Nonsense, Said, Start};
use crate::live::Message;
use ami_graph::data::value::{Array, DType, Scalar, Value};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value as Json;

/// What the only channel is called.
const CHANNEL: &str = "image";

/// The first part of every message; not all of them have everything.
#[derive(Deserialize)]
struct Head {
    htype: String,
    series: Option<u64>,
    frame: Option<u64>,
}

/// The part that says what a blob is.
#[derive(Deserialize)]
struct Data {
    #[serde(default)]
    htype: String,
    shape: Vec<usize>,
    #[serde(rename = "type")]
    dtype: String,
    #[serde(default)]
    encoding: String,
}

/// The times of an image, ns.
#[derive(Deserialize, Default)]
struct Times {
    start_time: Option<f64>,
    stop_time: Option<f64>,
    real_time: Option<f64>,
}

/// What a message says. `tables` bytes of arrays are kept of a header.
pub fn read(message: &Message, tables: usize) -> Result<Said, Nonsense> {
    let head: Head = part(message.frame(0))?;
    let series = head.series.ok_or(Nonsense::Damaged);
    match head.htype.split('-').next() {
        Some("dheader") => Ok(Said::Start(start(message, series?, tables))),
        Some("dimage") => {
            image(message, series?, head.frame.ok_or(Nonsense::Damaged)?).map(Said::Image)
        }
        Some("dseries_end") => Ok(Said::End(series?)),
        _ => Err(Nonsense::Unknown),
    }
}

fn part<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Nonsense> {
    serde_json::from_slice(bytes).map_err(|_| Nonsense::Damaged)
}

fn image(message: &Message, series: u64, frame: u64) -> Result<Image, Nonsense> {
    let data: Data = part(message.frame(1))?;
    let times: Times = part(message.frame(3)).unwrap_or_default();
    let plane = plane(&data, 2, message.frame(2));
    let unsupported = u64::from(plane.is_none());
    // What is negative or beyond becomes the nearest that fits.
    let ns = |time: Option<f64>| time.map(|ns| ns as u64);
    Ok(Image {
        series,
        frame,
        date_ns: None,
        start_ns: ns(times.start_time),
        stop_ns: ns(times.stop_time),
        real_ns: ns(times.real_time),
        planes: plane.into_iter().collect(),
        unsupported,
    })
}

/// What lies in a frame; None of what is not read.
fn plane(data: &Data, frame: usize, bytes: &[u8]) -> Option<Plane> {
    let dtype = dtype_of(&data.dtype)?;
    // The fastest axis comes first here.
    let shape: Vec<usize> = data.shape.iter().rev().copied().collect();
    bytes_of(dtype, &shape)?;
    let (coding, big_endian) = encoding(&data.encoding, dtype)?;
    let (channel, blob) = (CHANNEL.to_owned(), whole(bytes));
    Some(Plane { channel, dtype, shape, coding, big_endian, frame, blob, damaged: false })
}

/// `[bs<BIT>][[-]lz4][<|>]`.
fn encoding(text: &str, dtype: DType) -> Option<(Coding, bool)> {
    let big_endian = text.ends_with('>');
    let text = text.trim_end_matches(['<', '>']);
    let Some(shuffled) = text.strip_prefix("bs") else {
        let coding = match text {
            "" => Coding::Raw,
            "lz4" => Coding::Lz4Block,
            _ => return None,
        };
        return Some((coding, big_endian));
    };
    let bits: usize = shuffled.strip_suffix("lz4")?.trim_end_matches('-').parse().ok()?;
    (bits == 8 * dtype.size()).then_some((Coding::Bslz4, big_endian))
}

fn start(message: &Message, series: u64, tables: usize) -> Start {
    let mut held = Gathered::new(tables);
    let mut channel = None;
    if let Ok(Json::Object(config)) = part(message.frame(1)) {
        // The appendix alone is an object, too; that of a detector says its size.
        for (name, value) in &config {
            keep(name, value, &mut held);
        }
        channel = channel_of(&Json::Object(config));
    }
    let mut at = 2;
    while at < message.frames.len() {
        let table: Option<(Data, &str)> = part::<Data>(message.frame(at)).ok().and_then(|data| {
            let known = [
                ("dflatfield", "flatfield"),
                ("dpixelmask", "pixel_mask"),
                ("dcountrate_table", "countrate_correction_table"),
            ];
            let name = known.iter().find(|(htype, _)| data.htype.starts_with(htype))?.1;
            Some((data, name))
        });
        let Some((data, name)) = table else {
            at += 1;
            continue;
        };
        let bytes = message.frame(at + 1);
        match plane(&data, at + 1, bytes) {
            Some(plane) => held.table(name, &plane, bytes),
            None => held.left_out += 1,
        }
        at += 2;
    }
    let channels = channel.into_iter().collect();
    Start { series, at_ns: None, held: held.values, left_out: held.left_out, channels }
}

fn keep(name: &str, value: &Json, held: &mut Gathered) {
    match value {
        Json::Bool(value) => held.put(name, Value::Scalar(Scalar::Bool(*value))),
        Json::Number(value) => held.number(name, value.as_f64().unwrap_or(f64::NAN)),
        Json::String(text) => held.put(name, Value::Str(text.clone())),
        Json::Array(list) => {
            let numbers: Option<Vec<f64>> = list.iter().map(Json::as_f64).collect();
            match numbers.filter(|n| !n.is_empty() && n.len() <= 4096) {
                Some(n) => held.put(name, Value::Array(Array::from_elements(&[n.len()], &n))),
                None => held.left_out += 1,
            }
        }
        Json::Null => {}
        Json::Object(_) => held.left_out += 1,
    }
}

fn channel_of(config: &Json) -> Option<Channel> {
    let dtype = match config["bit_depth_image"].as_u64()? {
        8 => DType::U8,
        16 => DType::U16,
        32 => DType::U32,
        _ => return None,
    };
    let axis = |name: &str| config[name].as_u64().and_then(|n| usize::try_from(n).ok());
    let shape = axis("y_pixels_in_detector").zip(axis("x_pixels_in_detector"));
    let shape = shape.map(|(y, x)| vec![y, x]);
    Some(Channel { name: CHANNEL.into(), dtype, shape, rank: 2 })
}
