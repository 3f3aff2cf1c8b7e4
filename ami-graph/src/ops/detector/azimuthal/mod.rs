//! `azimuthal`: mean intensity by radius, scattering angle or momentum transfer.

mod table;

use crate::data::column_views::{Number, typed};
use crate::data::files::Content;
use crate::data::types::Type;
use crate::data::value::DType;
use crate::error::Fault;
use crate::op::doc::{Class, OpDoc, OutputDoc, param};
use crate::op::event_by_event::{Each, Item, Out, each};
use crate::op::kind::{OpKind, Prepared};
use crate::op::parameters::Args;
use crate::op::per_event::{Kernel, PerEvent};
use crate::ops::detector::images::{
    IMAGE, MASK, PerShape, PixelMask, center, event_shape, image_shape, pair, pixel_size,
    pixel_size_doc,
};
use crate::with_type;
pub use table::Shares;
use table::{Geometry, Table, Unit};

/// Most bins over all sectors.
const MAX_BINS: u64 = 100_000;

static DOC: OpDoc = OpDoc {
    name: "azimuthal",
    summary: "azimuthal integration: mean intensity by radius, 2theta or q",
    text: "Each pixel belongs to the bin of its centre (pixel (0, 0) is centred at [0, 0]), or is \
           spread over the bins that its bounding box overlaps (`split`). Equal to pyFAI with \
           methods (no, csr) and (bbox, csr), without corrections for solid angle and polarisation \
           (`calibrate` before, with a gain map, does these). intensity = sum(share value) / \
           sum(share); sigma is the error of that mean with Poisson errors, sqrt(sum(share^2 \
           max(value, 1))) / sum(share), so values should be photons. Bins without pixels are NaN \
           (pyFAI: 0). Pixels that are NaN or infinite do not count. Angles of sectors are \
           atan2(y, x) from -180 degrees, y downwards. What is outside `range` does not count \
           (pyFAI adds some of it to the outermost bins); without `range` the bins reach from the \
           least to the greatest coordinate of the pixels in use. The detector is perpendicular to \
           the beam.",
    example: r#"{"op": "azimuthal", "in": "image", "center": [0.5, 1], "bins": 2}"#,
    class: Class::PerEvent,
    form: IMAGE,
    with: false,
    params: &[
        center("", "where the beam hits"),
        param("bins", "whole number", "1000", "", "1 to 100000 over all sectors", "radial bins"),
        param("range", "[low, high]", "none", "of the axis", "low < high", "ends of the bins"),
        MASK,
        pixel_size_doc("any length", "of a pixel"),
        param("distance", "number", "none", "as pixel_size", "above 0", "sample to detector"),
        param("wavelength", "number", "none", "any length", "above 0", "of the X-rays, for q"),
        param(
            "unit",
            "word",
            "\"r\"",
            "",
            "r, q, 2theta",
            "the axis: r as pixel_size, 2theta in degrees, q in the inverse of wavelength's unit",
        ),
        param("sectors", "whole number", "1", "", "1 to 3600", "sectors of equal angle"),
        param("split", "word", "\"none\"", "", "none, bbox", "how pixels share bins"),
    ],
    outputs: &[
        OutputDoc { name: "axis", doc: "float64 [bins]: centres of the bins" },
        OutputDoc {
            name: "intensity",
            doc: "float64 [bins], or [sectors, bins] with more than one sector: mean",
        },
        OutputDoc { name: "count", doc: "float64, as intensity: pixels; parts where split" },
        OutputDoc { name: "sigma", doc: "float64, as intensity: its error" },
    ],
};

/// The op.
pub struct Azimuthal;

impl OpKind for Azimuthal {
    fn doc(&self) -> &'static OpDoc {
        &DOC
    }

    fn prepare(&self, args: &Args<'_>) -> Result<Prepared, Fault> {
        args.require("center", "two numbers, [y, x]: rows, then columns")?;
        let sectors = args.whole("sectors", Some(1), 1..=3600)?;
        let unit = match args.word("unit", "r", &["r", "q", "2theta"])? {
            "q" => Unit::Q,
            "2theta" => Unit::TwoTheta,
            _ => Unit::Radius,
        };
        let needed = |name: &str, when: bool| {
            let hint = "give a number above 0; units are in `ami-ctl ops azimuthal`";
            match args.number(name)? {
                Some(x) if x > 0.0 && x.is_finite() => Ok(x),
                Some(x) => Err(Fault::of(name, format!("{x} is not accepted"), hint)),
                None if when => Err(Fault::of(name, "is missing for this unit", hint)),
                None => Ok(1.0),
            }
        };
        let range = pair(args, "range")?;
        if let Some([low, high]) = range.filter(|[low, high]| low >= high) {
            let reason = format!("[{low}, {high}] is empty");
            return Err(Fault::of("range", reason, "give [low, high] with low < high"));
        }
        let geometry = Geometry {
            center: pair(args, "center")?.unwrap_or_default(),
            size: pixel_size(args, "pixel_size")?.unwrap_or([1.0, 1.0]),
            distance: needed("distance", unit != Unit::Radius)?,
            wavelength: needed("wavelength", unit == Unit::Q)?,
            unit,
            bins: args.whole("bins", Some(1000), 1..=MAX_BINS / sectors)? as usize,
            sectors: sectors as usize,
            range,
            split: args.word("split", "none", &["none", "bbox"])? == "bbox",
        };
        let op = Azimuth { geometry, mask: args.file("mask", ".npy")? };
        Ok(Prepared::per_event_with(&["axis", "intensity", "count", "sigma"], op))
    }
}

#[derive(Debug)]
struct Azimuth {
    geometry: Geometry,
    mask: Option<Content>,
}

impl PerEvent for Azimuth {
    fn bind(&self, inputs: &[Type]) -> Result<(Vec<Type>, Box<dyn Kernel>), Fault> {
        let shape = image_shape(&inputs[0])?;
        let mask = PixelMask::read(self.mask.as_ref(), shape)?;
        let (bins, sectors) = (self.geometry.bins, self.geometry.sectors);
        let profile = match sectors {
            1 => Type::shaped(DType::F64, &[bins]),
            _ => Type::shaped(DType::F64, &[sectors, bins]),
        };
        let axis = Type::shaped(DType::F64, &[bins]);
        let types = vec![axis, profile.clone(), profile.clone(), profile];
        let geometry = self.geometry.clone();
        let op = Integrating { geometry, mask, table: PerShape::default(), sums: Vec::new() };
        Ok(each(types, op))
    }

    fn tables(&self, inputs: &[Type], outputs: &[Type]) -> u64 {
        let image = &inputs[0];
        let parts = match (self.geometry.split, &image.shape) {
            (false, _) | (_, None) => 0,
            // A pixel's box is no longer than its diagonal, and the bins cover half the longest
            // side or more.
            (true, Some(shape)) => {
                let longest = shape.iter().copied().max().unwrap_or(0).max(1);
                (2 + 3 * self.geometry.bins / longest).min(16)
            }
        };
        let pixel =
            size_of::<u32>() + usize::from(self.mask.is_some()) + parts * size_of::<(u32, f32)>();
        let bin = size_of::<[Sums; COPIES]>() + size_of::<f64>();
        let pixels = image.elements().saturating_mul(pixel as u64);
        pixels.saturating_add(outputs[1].elements().saturating_mul(bin as u64))
    }
}

/// Sums of value, variance and share of a bin; the fourth makes it whole vector registers.
pub type Sums = [f64; 4];
/// Copies of each bin's sums, used by turns: pixels beside each other often fall into one bin,
/// and would wait for each other's sum.
pub const COPIES: usize = 4;

struct Integrating {
    geometry: Geometry,
    mask: Option<PixelMask>,
    table: PerShape<Table>,
    sums: Vec<[Sums; COPIES]>,
}

impl Each for Integrating {
    fn event(&mut self, inputs: &[Item<'_>], out: &mut Out<'_, '_>) -> Result<(), String> {
        let [item] = inputs else { return Ok(()) };
        let shape = event_shape(item.shape())?;
        let (geometry, mask) = (&self.geometry, self.mask.as_ref());
        mask.map_or(Ok(()), |mask| mask.fits(shape))?;
        let used = |pixel: usize| mask.is_none_or(|mask| mask.used(pixel));
        let table = self.table.get(&shape, || geometry.table(shape, used))?;
        self.sums.clear();
        self.sums.resize(table.bins + 1, [[0.0; 4]; COPIES]);
        with_type!(item.dtype, T => add(&typed::<T>(item.data), &table.shares, &mut self.sums));
        let shape = [geometry.sectors, geometry.bins];
        let shape = if geometry.sectors == 1 { &shape[1..] } else { &shape[..] };
        let sums = &self.sums[..table.bins];
        let mut write = |output: usize, of: &dyn Fn(&[Sums; COPIES]) -> f64| {
            out.array(output, shape, |to: &mut [f64]| {
                to.iter_mut().zip(sums).for_each(|(to, copies)| *to = of(copies));
            });
        };
        write(1, &|copies| total(copies, 0) / total(copies, 2));
        write(2, &|copies| total(copies, 2));
        write(3, &|copies| total(copies, 1).sqrt() / total(copies, 2));
        out.copy(0, &[geometry.bins], &table.axis);
        Ok(())
    }
}

/// A sum over the copies of a bin.
pub fn total(copies: &[Sums; COPIES], of: usize) -> f64 {
    copies.iter().map(|sums| sums[of]).sum()
}

/// Adds the pixels of an image to their bins.
pub fn add<T: Number>(image: &[T], shares: &Shares, sums: &mut [[Sums; COPIES]]) {
    // A value and its variance; a pixel without a finite value has no share.
    let seen = |value: T| {
        let value = value.f64();
        let here = value.is_finite();
        let value = if here { value } else { 0.0 };
        (value, if value > 1.0 { value } else { 1.0 }, f64::from(u8::from(here)))
    };
    match shares {
        Shares::Whole(bins) => {
            for (values, bins) in image.chunks(COPIES).zip(bins.chunks(COPIES)) {
                for (copy, (&value, &bin)) in values.iter().zip(bins).enumerate() {
                    let (value, variance, share) = seen(value);
                    let sum = &mut sums[bin as usize][copy];
                    sum[0] += value;
                    sum[1] += variance * share;
                    sum[2] += share;
                }
            }
        }
        Shares::Split { ends, parts } => {
            let mut begin = 0;
            for (&value, &end) in image.iter().zip(ends) {
                let (value, variance, here) = seen(value);
                for (copy, &(bin, share)) in parts[begin..end as usize].iter().enumerate() {
                    let share = f64::from(share) * here;
                    let sum = &mut sums[bin as usize][copy % COPIES];
                    sum[0] += share * value;
                    sum[1] += share * share * variance;
                    sum[2] += share;
                }
                begin = end as usize;
            }
        }
    }
}
