//! `peakfinder8`: Bragg peaks of a diffraction image, the same to the bit as the original's.

mod background;
mod doc;
mod layout;
mod search;

use crate::data::files::Content;
use crate::data::types::Type;
use crate::data::value::DType;
use crate::error::Fault;
use crate::op::doc::OpDoc;
use crate::op::event_by_event::{Each, Item, Out, each};
use crate::op::kind::{OpKind, Prepared};
use crate::op::parameters::Args;
use crate::op::per_event::{Kernel, PerEvent};
use crate::ops::detector::images::{
    PerShape, PixelMask, as_f64, event_shape, image_shape, pair, pixel_size, pixels,
};
use background::{Background, MAX_RADIUS, Radii};
use layout::Layout;
use search::{Demands, Peak, Search, Seen};
use std::sync::Arc;

/// The op.
pub struct Peakfinder8;

impl OpKind for Peakfinder8 {
    fn doc(&self) -> &'static OpDoc {
        &doc::DOC
    }

    fn prepare(&self, args: &Args<'_>) -> Result<Prepared, Fault> {
        let whole = |name, default, range| args.whole(name, Some(default), range);
        let number = |name| Ok(args.number(name)?.map(|x| x as f32));
        let demands = Demands {
            adc_threshold: number("adc_threshold")?.unwrap_or(0.0),
            min_snr: number("min_snr")?.unwrap_or(5.0),
            min_pixels: whole("min_pixel_count", 2, 1..=1_000_000)? as usize,
            max_pixels: whole("max_pixel_count", 40, 1..=1_000_000)? as usize,
            background_radius: whole("local_bg_radius", 4, 1..=1000)? as i32,
            max_peaks: whole("max_num_peaks", 2048, 1..=1_000_000)? as usize,
            exact: args.flag("exact", true)?,
        };
        let place = match (args.file("radius", ".npy")?, pair(args, "center")?) {
            (Some(map), None) => Place::Map(map),
            (None, Some(center)) => {
                Place::Center(center, pixel_size(args, "pixel_size")?.unwrap_or([1.0, 1.0]))
            }
            _ => {
                let hint = "give the path of a .npy with the radius of each pixel, or `center`";
                return Err(Fault::of("radius", "one of `radius` and `center` is needed", hint));
            }
        };
        let side = |name| {
            let given = args.get(name).map(|_| args.whole(name, None, 1..=65_536));
            Ok::<_, Fault>(given.transpose()?.map(|n| n as usize))
        };
        let finder = Finder {
            demands,
            place,
            mask: args.file("mask", ".npy")?,
            resolution: [number("min_res")?, number("max_res")?],
            panel: [side("asic_ny")?, side("asic_nx")?],
            grid: [side("nasics_y")?, side("nasics_x")?],
        };
        let outputs: Vec<&str> = doc::DOC.outputs.iter().map(|o| o.name).collect();
        Ok(Prepared::per_event_with(&outputs, finder))
    }
}

/// Where the radius of a pixel comes from.
#[derive(Debug)]
enum Place {
    /// A file.
    Map(Content),
    /// The beam at [y, x], and the pixels' height and width.
    Center([f64; 2], [f64; 2]),
}

#[derive(Debug)]
struct Finder {
    demands: Demands,
    place: Place,
    mask: Option<Content>,
    /// Least and greatest radius that takes part.
    resolution: [Option<f32>; 2],
    /// Height and width of a panel.
    panel: [Option<usize>; 2],
    /// Rows and columns of panels.
    grid: [Option<usize>; 2],
}

/// What is known before an image is seen.
#[derive(Debug, Clone)]
struct Geometry {
    /// None: of any shape.
    radius: Option<Arc<[f32]>>,
    mask: Option<PixelMask>,
    place: Option<([f64; 2], [f64; 2])>,
    resolution: [Option<f32>; 2],
    panel: [Option<usize>; 2],
    grid: [Option<usize>; 2],
    /// The shape that the files have.
    shape: Option<[usize; 2]>,
}

impl PerEvent for Finder {
    fn bind(&self, inputs: &[Type]) -> Result<(Vec<Type>, Box<dyn Kernel>), Fault> {
        let mut shape = image_shape(&inputs[0])?;
        let mask = PixelMask::read(self.mask.as_ref(), shape)?;
        let mut files = mask.as_ref().map(|mask| mask.shape);
        shape = shape.or(files);
        let mut geometry = Geometry {
            radius: None,
            mask,
            place: None,
            resolution: self.resolution,
            panel: self.panel,
            grid: self.grid,
            shape: None,
        };
        match &self.place {
            Place::Center(center, size) => geometry.place = Some((*center, *size)),
            Place::Map(content) => {
                if let Some(map) = pixels(Some(content), "radius", shape)? {
                    files = Some([map.shape()[0], map.shape()[1]]);
                    geometry.radius = Some(radii(&as_f64(&map))?);
                }
            }
        }
        geometry.shape = files;
        if let Some(shape) = shape.or(files) {
            geometry.layout(shape).map_err(|reason| {
                let hint = "asic_ny × nasics_y and asic_nx × nasics_x are the shape of the image";
                Fault::of("asic_nx", reason, hint)
            })?;
        }
        let floats = || Type::array(DType::F32, 1);
        let whole = || Type::array(DType::I64, 1);
        let types = vec![
            floats(),
            floats(),
            floats(),
            whole(),
            floats(),
            floats(),
            Type::scalar(DType::I64),
            whole(),
            floats(),
        ];
        let finding = Finding {
            demands: self.demands,
            geometry,
            known: PerShape::default(),
            pixels: Vec::new(),
            search: Search::default(),
        };
        Ok(each(types, finding))
    }

    fn tables(&self, inputs: &[Type], _: &[Type]) -> u64 {
        // A flag and six numbers of 4 bytes: bin, place, pixel, sorted, bright, as float32.
        inputs[0].elements().saturating_mul(25)
    }
}

/// Radii as they are used.
fn radii(map: &[f64]) -> Result<Arc<[f32]>, Fault> {
    let good = |r: &f64| (0.0..=f64::from(MAX_RADIUS)).contains(r);
    if let Some(bad) = map.iter().position(|r| !good(r)) {
        let reason = format!("pixel {bad} has radius {}", map[bad]);
        let hint = format!("give radii from 0 to {MAX_RADIUS} pixels, also for masked pixels");
        return Err(Fault::of("radius", reason, hint));
    }
    Ok(map.iter().map(|&r| r as f32).collect())
}

impl Geometry {
    fn layout(&self, shape: [usize; 2]) -> Result<Layout, String> {
        let side = |axis: usize| match (self.panel[axis], self.grid[axis]) {
            (None, grid) => (shape[axis] / grid.unwrap_or(1), grid.unwrap_or(1)),
            (Some(panel), grid) => (panel, grid.unwrap_or(1)),
        };
        let ((height, rows), (width, columns)) = (side(0), side(1));
        let layout = Layout { panel: [height, width], grid: [rows, columns] };
        if layout.shape() != shape {
            return Err(format!(
                "{rows}×{columns} panels of {height}×{width} do not make an image of {shape:?}"
            ));
        }
        Ok(layout)
    }

    fn radii(&self, shape: [usize; 2]) -> Result<Radii, String> {
        if let Some(known) = self.shape.filter(|&known| known != shape) {
            return Err(format!("the image has shape {shape:?}, the files {known:?}"));
        }
        let layout = self.layout(shape)?;
        let radius = match (&self.radius, self.place) {
            (Some(map), _) => map.clone(),
            (None, place) => {
                let (center, size) = place.unwrap_or_default();
                from_center(shape, center, size)?
            }
        };
        let [least, most] = self.resolution;
        let within =
            |r: f32| !least.is_some_and(|least| r < least) && !most.is_some_and(|most| r > most);
        let unmasked = |pixel: usize| self.mask.as_ref().is_none_or(|mask| mask.used(pixel));
        let good =
            radius.iter().enumerate().map(|(pixel, &r)| within(r) && unmasked(pixel)).collect();
        Ok(Radii::new(layout, good, &radius))
    }
}

/// Distances from the beam, in widths of a pixel.
fn from_center(shape: [usize; 2], center: [f64; 2], size: [f64; 2]) -> Result<Arc<[f32]>, String> {
    let far = |axis: usize| (center[axis].abs() + shape[axis] as f64) * size[axis] / size[1];
    if far(0).hypot(far(1)) > f64::from(MAX_RADIUS) {
        return Err(format!("the center {center:?} is more than {MAX_RADIUS} pixels away"));
    }
    let pixels = (0..shape[0]).flat_map(|y| (0..shape[1]).map(move |x| (y as f64, x as f64)));
    let distance = |(y, x): (f64, f64)| {
        (((y - center[0]) * size[0] / size[1]).powi(2) + (x - center[1]).powi(2)).sqrt() as f32
    };
    Ok(pixels.map(distance).collect())
}

struct Finding {
    demands: Demands,
    geometry: Geometry,
    known: PerShape<(Radii, Background)>,
    /// The image as float32.
    pixels: Vec<f32>,
    search: Search,
}

impl Each for Finding {
    fn event(&mut self, inputs: &[Item<'_>], out: &mut Out<'_, '_>) -> Result<(), String> {
        let [item] = inputs else { return Ok(()) };
        let shape = event_shape(item.shape())?;
        let geometry = &self.geometry;
        let (radii, background) = self.known.get(&shape, || {
            let radii = geometry.radii(shape)?;
            let background = Background::new(&radii);
            Ok((radii, background))
        })?;
        let image = item.f32(&mut self.pixels);
        let demands = self.demands;
        background.find(radii, image, demands.min_snr, demands.adc_threshold);
        self.search.run(Seen { radii, image, background, demands });
        let peaks = &self.search.peaks;
        let mut floats = |output: usize, of: fn(&Peak) -> f32| {
            out.array(output, &[peaks.len()], |to| {
                to.iter_mut().zip(peaks).for_each(|(to, peak)| *to = of(peak));
            });
        };
        floats(0, |peak| peak.ss);
        floats(1, |peak| peak.fs);
        floats(2, |peak| peak.intensity);
        floats(4, |peak| peak.most);
        floats(5, |peak| peak.snr);
        floats(8, |peak| peak.sigma);
        let mut whole = |output: usize, of: fn(&Peak) -> i64| {
            out.array(output, &[peaks.len()], |to| {
                to.iter_mut().zip(peaks).for_each(|(to, peak)| *to = of(peak));
            });
        };
        whole(3, |peak| peak.pixels);
        whole(7, |peak| peak.index);
        out.scalar(6, self.search.found as i64);
        Ok(())
    }
}
