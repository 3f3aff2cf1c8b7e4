//! Stream version 2: one CBOR map per message.

use crate::dectris::cbor;
use crate::dectris::held::{Gathered, Typed, clean, gather, typed};
use crate::dectris::{Channel, Image, Nonsense, Said, Start};
use ami_graph::data::value::DType;
use minicbor::data::Type;
use minicbor::decode::{Decoder, Error};

/// Channels of an image at most.
const CHANNELS: usize = 64;

/// What a message says. `tables` bytes of arrays are kept of a header.
pub fn read(bytes: &[u8], tables: usize) -> Result<Said, Nonsense> {
    let mut kind = None;
    let mut d = Decoder::new(bytes);
    // The type comes first, but nobody has to rely on it.
    let found = cbor::pairs(&mut d, |key, d| {
        if key == "type" && kind.is_none() {
            kind = Some(cbor::text(d)?.into_owned());
        }
        match kind {
            Some(_) => Err(Error::message("found")),
            None => Ok(()),
        }
    });
    let mut d = Decoder::new(bytes);
    let said = match (kind.as_deref(), found) {
        (Some("image"), _) => image(&mut d).map(Said::Image),
        (Some("start"), _) => start(&mut d, tables).map(Said::Start),
        (Some("end"), _) => end(&mut d).map(Said::End),
        (None, Err(_)) => return Err(Nonsense::Damaged),
        _ => return Err(Nonsense::Unknown),
    };
    said.map_err(|_| Nonsense::Damaged)
}

fn image(d: &mut Decoder<'_>) -> Result<Image, Error> {
    let mut image = Image::default();
    let (mut series, mut frame) = (None, None);
    cbor::pairs(d, |key, d| {
        match key {
            "series_id" => series = Some(d.u64()?),
            "image_id" => frame = Some(d.u64()?),
            "series_date" => image.date_ns = cbor::date(d)?,
            "start_time" => image.start_ns = cbor::rational_ns(d)?,
            "stop_time" => image.stop_ns = cbor::rational_ns(d)?,
            "real_time" => image.real_ns = cbor::rational_ns(d)?,
            "data" => channels(d, &mut image)?,
            _ => {}
        }
        Ok(())
    })?;
    let (Some(series), Some(frame)) = (series, frame) else {
        return Err(Error::message("an image without its number"));
    };
    (image.series, image.frame) = (series, frame);
    Ok(image)
}

fn channels(d: &mut Decoder<'_>, image: &mut Image) -> Result<(), Error> {
    cbor::pairs(d, |channel, d| {
        if d.datatype()? != Type::Tag || image.planes.len() >= CHANNELS || channel.len() > 200 {
            image.unsupported += 1;
            return Ok(());
        }
        match typed(d, &clean(channel))? {
            Some(Typed::Plane(plane)) => image.planes.push(plane),
            _ => image.unsupported += 1,
        }
        Ok(())
    })
}

fn start(d: &mut Decoder<'_>, tables: usize) -> Result<Start, Error> {
    let mut held = Gathered::new(tables);
    let (mut series, mut at_ns, mut dtype) = (None, None, None);
    let mut size = [None::<u64>; 2];
    let mut names: Vec<String> = Vec::new();
    cbor::pairs(d, |key, d| {
        let begin = d.position();
        match key {
            "type" => return Ok(()),
            "series_id" => series = Some(d.u64()?),
            "arm_date" => at_ns = cbor::date(d)?,
            "image_dtype" => dtype = Some(cbor::text(d)?.into_owned()),
            "image_size_y" => size[0] = Some(d.u64()?),
            "image_size_x" => size[1] = Some(d.u64()?),
            "channels" => cbor::items(d, |d| {
                if names.len() >= CHANNELS {
                    return Err(Error::message("too many channels"));
                }
                names.push(clean(&cbor::text(d)?));
                Ok(())
            })?,
            _ => {}
        }
        d.set_position(begin);
        gather(d, key, cbor::DEPTH, &mut held)
    })?;
    let series = series.ok_or_else(|| Error::message("a header without its series"))?;
    let dtype = dtype.and_then(|name| dtype_of(&name));
    let shape = match size {
        [Some(y), Some(x)] => usize::try_from(y).ok().zip(usize::try_from(x).ok()),
        _ => None,
    };
    let channel = |name| {
        let shape = shape.map(|(y, x)| vec![y, x]);
        Some(Channel { name, dtype: dtype?, shape, rank: 2 })
    };
    let channels = names.into_iter().filter_map(channel).collect();
    Ok(Start { series, at_ns, held: held.values, left_out: held.left_out, channels })
}

fn end(d: &mut Decoder<'_>) -> Result<u64, Error> {
    let mut series = None;
    cbor::pairs(d, |key, d| {
        if key == "series_id" {
            series = Some(d.u64()?);
        }
        Ok(())
    })?;
    series.ok_or_else(|| Error::message("an end without its series"))
}

/// Element type by the name that DECTRIS uses.
pub fn dtype_of(name: &str) -> Option<DType> {
    DType::ALL.into_iter().find(|d| *d != DType::Str && *d != DType::Bool && d.name() == name)
}
