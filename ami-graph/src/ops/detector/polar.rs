//! `polar`: a part of a ring around the beam as a map over radius and angle.

use crate::data::column_views::typed;
use crate::data::files::Content;
use crate::data::types::Type;
use crate::data::value::DType;
use crate::error::Fault;
use crate::op::doc::{Class, OpDoc, OutputDoc, param};
use crate::op::event_by_event::{Each, Item, Out, each};
use crate::op::kind::{OpKind, Prepared};
use crate::op::parameters::Args;
use crate::op::per_event::{Kernel, PerEvent};
use crate::ops::detector::azimuthal::{COPIES, Shares, Sums, add, total};
use crate::ops::detector::images::{
    IMAGE, MASK, PerShape, PixelMask, center, event_shape, image_shape, pair,
};
use crate::with_type;

/// Most bins of a map.
const MAX_BINS: u64 = 1_000_000;

static DOC: OpDoc = OpDoc {
    name: "polar",
    summary: "mean intensity over radius and angle around the beam",
    text: "Each pixel belongs to the bin of its centre (pixel (0, 0) is centred at [0, 0]); map is \
           the mean of the pixels of a bin, NaN without pixels. Bins are half-open and of equal \
           width. Angles are atan2(y, x) in degrees, y downwards, and count on past 180 degrees: \
           [170, 190] lies around the negative x axis. Pixels that are NaN or infinite do \
           not count.",
    example: r#"{"op": "polar", "in": "image", "center": [0.5, 1], "radius": [0, 2], "bins": [2, 4]}"#,
    class: Class::PerEvent,
    form: IMAGE,
    with: false,
    params: &[
        center("", "where the beam hits"),
        param("radius", "[from, to]", "", "pixel", "0 <= from < to", "the ring"),
        param(
            "angle",
            "[from, to]",
            "[-180, 180]",
            "degree",
            "from < to, at most 360 apart, from -360 to 360",
            "the part of the ring",
        ),
        param("bins", "[radial, angular]", "", "", "from 1; at most 1000000 in all", "bins"),
        MASK,
    ],
    outputs: &[
        OutputDoc { name: "map", doc: "float64 [radial, angular]: mean" },
        OutputDoc { name: "count", doc: "float64 [radial, angular]: pixels" },
        OutputDoc { name: "radial", doc: "float64 [radial]: centres of the bins, pixels" },
        OutputDoc { name: "angular", doc: "float64 [angular]: centres of the bins, degrees" },
    ],
};

/// The op.
pub struct Polar;

impl OpKind for Polar {
    fn doc(&self) -> &'static OpDoc {
        &DOC
    }

    fn prepare(&self, args: &Args<'_>) -> Result<Prepared, Fault> {
        let two = |name: &str| {
            args.require(name, "two numbers")?;
            Ok::<_, Fault>(pair(args, name)?.unwrap_or_default())
        };
        let center = two("center")?;
        let radius = two("radius")?;
        let refuse = |name: &str, [from, to]: [f64; 2], hint: &str| {
            Err(Fault::of(name, format!("[{from}, {to}] is not accepted"), hint))
        };
        if radius[0] < 0.0 || radius[0] >= radius[1] {
            return refuse("radius", radius, "give [from, to] with 0 <= from < to");
        }
        let angle = pair(args, "angle")?.unwrap_or([-180.0, 180.0]);
        let [from, to] = angle;
        if from >= to || to - from > 360.0 || from < -360.0 || to > 360.0 {
            let hint = "give [from, to] in degrees, from < to, at most 360 apart, -360 to 360";
            return refuse("angle", angle, hint);
        }
        let bins = two("bins")?;
        let whole = |n: f64| n >= 1.0 && n.fract() == 0.0;
        if !(whole(bins[0]) && whole(bins[1]) && bins[0] * bins[1] <= MAX_BINS as f64) {
            return refuse("bins", bins, "give [radial, angular], at most 1000000 in all");
        }
        let bins = bins.map(|n| n as usize);
        let ring = Ring { center, radius, angle, bins };
        let op = Mapping { ring, mask: args.file("mask", ".npy")? };
        Ok(Prepared::per_event_with(&["map", "count", "radial", "angular"], op))
    }
}

/// The part of a ring and its bins, radial first.
#[derive(Debug, Clone, Copy)]
struct Ring {
    center: [f64; 2],
    radius: [f64; 2],
    angle: [f64; 2],
    bins: [usize; 2],
}

impl Ring {
    /// The bin of each pixel; one past the last where it is in none.
    fn shares(&self, shape: [usize; 2], used: impl Fn(usize) -> bool) -> Shares {
        let nowhere = (self.bins[0] * self.bins[1]) as u32;
        let width = shape[1].max(1);
        let bin = |at: f64, [from, to]: [f64; 2], bins: usize| {
            let bin = (at - from) / (to - from) * bins as f64;
            (0.0..bins as f64).contains(&bin).then_some(bin as usize)
        };
        let one = |pixel: usize| {
            let y = (pixel / width) as f64 - self.center[0];
            let x = (pixel % width) as f64 - self.center[1];
            let turned = (y.atan2(x).to_degrees() - self.angle[0]).rem_euclid(360.0);
            let radial = bin(y.hypot(x), self.radius, self.bins[0])?;
            let angular = bin(turned, [0.0, self.angle[1] - self.angle[0]], self.bins[1])?;
            used(pixel).then(|| (radial * self.bins[1] + angular) as u32)
        };
        Shares::Whole((0..shape[0] * shape[1]).map(|pixel| one(pixel).unwrap_or(nowhere)).collect())
    }
}

fn centres([from, to]: [f64; 2], bins: usize) -> Vec<f64> {
    (0..bins).map(|bin| from + (bin as f64 + 0.5) * (to - from) / bins as f64).collect()
}

#[derive(Debug)]
struct Mapping {
    ring: Ring,
    mask: Option<Content>,
}

impl PerEvent for Mapping {
    fn bind(&self, inputs: &[Type]) -> Result<(Vec<Type>, Box<dyn Kernel>), Fault> {
        let shape = image_shape(&inputs[0])?;
        let mask = PixelMask::read(self.mask.as_ref(), shape)?;
        let ring = self.ring;
        let map = Type::shaped(DType::F64, &ring.bins);
        let axis = |bins| Type::shaped(DType::F64, &[bins]);
        let types = vec![map.clone(), map, axis(ring.bins[0]), axis(ring.bins[1])];
        let turning = Turning {
            ring,
            mask,
            radial: centres(ring.radius, ring.bins[0]),
            angular: centres(ring.angle, ring.bins[1]),
            shares: PerShape::default(),
            sums: Vec::new(),
        };
        Ok(each(types, turning))
    }

    fn tables(&self, inputs: &[Type], outputs: &[Type]) -> u64 {
        let pixel = size_of::<u32>() + usize::from(self.mask.is_some());
        let bin = size_of::<[Sums; COPIES]>();
        let pixels = inputs[0].elements().saturating_mul(pixel as u64);
        pixels.saturating_add(outputs[0].elements().saturating_mul(bin as u64))
    }
}

struct Turning {
    ring: Ring,
    mask: Option<PixelMask>,
    radial: Vec<f64>,
    angular: Vec<f64>,
    shares: PerShape<Shares>,
    sums: Vec<[Sums; COPIES]>,
}

impl Each for Turning {
    fn event(&mut self, inputs: &[Item<'_>], out: &mut Out<'_, '_>) -> Result<(), String> {
        let [item] = inputs else { return Ok(()) };
        let shape = event_shape(item.shape())?;
        let (ring, mask) = (&self.ring, self.mask.as_ref());
        mask.map_or(Ok(()), |mask| mask.fits(shape))?;
        let used = |pixel: usize| mask.is_none_or(|mask| mask.used(pixel));
        let shares = self.shares.get(&shape, || Ok(ring.shares(shape, used)))?;
        let bins = ring.bins[0] * ring.bins[1];
        self.sums.clear();
        self.sums.resize(bins + 1, [[0.0; 4]; COPIES]);
        with_type!(item.dtype, T => add(&typed::<T>(item.data), shares, &mut self.sums));
        let sums = &self.sums[..bins];
        out.array(0, &ring.bins, |to: &mut [f64]| {
            to.iter_mut().zip(sums).for_each(|(to, sums)| *to = total(sums, 0) / total(sums, 2));
        });
        out.array(1, &ring.bins, |to: &mut [f64]| {
            to.iter_mut().zip(sums).for_each(|(to, sums)| *to = total(sums, 2));
        });
        out.copy(2, &ring.bins[..1], &self.radial);
        out.copy(3, &ring.bins[1..], &self.angular);
        Ok(())
    }
}
