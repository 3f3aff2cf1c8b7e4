//! `assemble`: detector segments to one image in the laboratory frame.

mod geom;

use crate::data::column_views::typed;
use crate::data::files::Content;
use crate::data::owned_column::scalar_bytes;
use crate::data::types::Type;
use crate::error::Fault;
use crate::op::checks::numbers_only;
use crate::op::doc::{Class, Form, InputDoc, OpDoc, OutputDoc, param};
use crate::op::event_by_event::{Each, Item, Out, each};
use crate::op::fill::{self, fill};
use crate::op::kind::{OpKind, Prepared};
use crate::op::parameters::Args;
use crate::op::per_event::{Kernel, PerEvent};
use crate::ops::detector::images::{MAX_PIXELS, PerShape, as_f64, elements};
use crate::with_type;
use geom::Panel;
use std::sync::Arc;

static DOC: OpDoc = OpDoc {
    name: "assemble",
    summary: "detector segments to one image in the laboratory frame",
    text: "Each pixel goes to the pixel of the image that its centre falls on (nearest pixel, no \
           interpolation); the image is just large enough. Where two fall on one, the later one \
           in the data stays; where none falls, there is `fill`. The element type stays. \
           Rows are y and columns x of the geometry, both increasing. \
           `geometry` is a CrystFEL .geom (panels with min_fs, max_fs, min_ss, max_ss, corner_x, \
           corner_y, fs, ss; panels of 3-d data either say their segment by a number in \
           `dim0` and so on, or count rows as if the segments lay one below the other), or a \
           pixel map: a .npy of shape [2, shape of the array] with y and x of each pixel in \
           pixels. Without geometry the segments are put one below the other.",
    example: r#"{"op": "assemble", "in": "image"}"#,
    class: Class::PerEvent,
    form: Form::Fixed(&[InputDoc {
        name: "array",
        doc: "segments [segment, ss, fs], or a slab [ss, fs]",
        required: true,
    }]),
    with: false,
    params: &[
        param("geometry", "file", "none", "", ".geom or .npy", "where the pixels lie"),
        fill("pixels of the image that have none in the data"),
    ],
    outputs: &[OutputDoc { name: "image", doc: "2-d, element type of the array" }],
};

/// The op.
pub struct Assemble;

impl OpKind for Assemble {
    fn doc(&self) -> &'static OpDoc {
        &DOC
    }

    fn prepare(&self, args: &Args<'_>) -> Result<Prepared, Fault> {
        let text = args.get("geometry").and_then(|json| json.as_str()).unwrap_or_default();
        let (path, _) = crate::data::files::marked(text);
        let source = match args.get("geometry") {
            None => Source::Stack,
            Some(_) if path.to_ascii_lowercase().ends_with(".npy") => {
                args.file("geometry", ".npy")?.map_or(Source::Stack, Source::Map)
            }
            Some(_) => args.file("geometry", ".geom")?.map_or(Source::Stack, Source::Panels),
        };
        let fill = fill::read(args)?;
        Ok(Prepared::per_event_with(&["image"], Assembly { source, fill }))
    }
}

#[derive(Debug)]
enum Source {
    Stack,
    Map(Content),
    Panels(Content),
}

#[derive(Debug)]
struct Assembly {
    source: Source,
    fill: f64,
}

/// Where pixels lie, as read.
#[derive(Debug, Clone)]
enum Places {
    Stack,
    /// Shape of the data, then y of each pixel and x of each.
    Map(Vec<usize>, Arc<[f64]>),
    Panels(Arc<[Panel]>),
}

impl PerEvent for Assembly {
    fn bind(&self, inputs: &[Type]) -> Result<(Vec<Type>, Box<dyn Kernel>), Fault> {
        numbers_only(inputs, &["array"])?;
        let input = &inputs[0];
        if input.rank.is_some_and(|rank| rank != 2 && rank != 3) {
            let reason = format!("the input is {input}, not an array of 2 or 3 axes");
            return Err(Fault::of("in", reason, "give [segment, ss, fs] or [ss, fs]"));
        }
        let fill = fill::element(input, self.fill)?;
        let places = self.places(input)?;
        let known = match &places {
            Places::Map(shape, _) => Some(shape.clone()),
            _ => input.shape.clone(),
        };
        let shape = match known {
            None => None,
            Some(shape) => Some(places.table(&shape).map_err(|reason| {
                Fault::of("geometry", reason, "give the geometry of this detector's data")
            })?),
        };
        let output = match shape {
            Some(table) => Type::shaped(input.dtype, &table.shape),
            None => Type::array(input.dtype, 2),
        };
        let placing = Placing { places, fill: scalar_bytes(fill), table: PerShape::default() };
        Ok(each(vec![output], placing))
    }

    fn tables(&self, inputs: &[Type], outputs: &[Type]) -> u64 {
        // Two coordinates of a pixel; where each pixel of the image comes from.
        let map = if matches!(self.source, Source::Map(_)) { 2 * size_of::<f64>() } else { 0 };
        let from = size_of::<u32>();
        let map = inputs[0].elements().saturating_mul(map as u64);
        map.saturating_add(outputs[0].elements().saturating_mul(from as u64))
    }
}

impl Assembly {
    fn places(&self, input: &Type) -> Result<Places, Fault> {
        match &self.source {
            Source::Stack => Ok(Places::Stack),
            Source::Panels(content) => {
                let panels = geom::read(content.text("geometry")?).map_err(|reason| {
                    let hint = "correct the geometry there, and apply the graph again";
                    Fault::of("geometry", format!("{:?}: {reason}", content.path()), hint)
                })?;
                Ok(Places::Panels(panels.into()))
            }
            Source::Map(content) => {
                let wanted = input.shape.as_ref().map(|shape| [&[2], shape.as_slice()].concat());
                let map = elements(Some(content), "geometry", wanted.as_deref())?;
                let map = map.filter(|map| matches!(*map.shape(), [2, _, _] | [2, _, _, _]));
                let map = map.ok_or_else(|| {
                    let reason = format!("{:?} is no pixel map", content.path());
                    let hint = "save y and x of each pixel: shape [2, shape of the array]";
                    Fault::of("geometry", reason, hint)
                })?;
                Ok(Places::Map(map.shape()[1..].to_vec(), as_f64(&map).into()))
            }
        }
    }
}

/// Which pixel of the data each pixel of the image shows.
#[derive(Debug)]
struct Table {
    shape: [usize; 2],
    /// [`NOTHING`] where there is none.
    from: Vec<u32>,
}

const NOTHING: u32 = u32::MAX;

impl Places {
    fn table(&self, shape: &[usize]) -> Result<Table, String> {
        let count = shape.iter().fold(1usize, |n, &axis| n.saturating_mul(axis));
        let (&[height, width], true) =
            (shape.last_chunk().ok_or("no image")?, count <= MAX_PIXELS && shape.len() <= 3)
        else {
            return Err(format!("an array of shape {shape:?} cannot be assembled"));
        };
        let segments = if let [segments, _, _] = *shape { segments } else { 1 };
        match self {
            Places::Stack => {
                Ok(Table { shape: [segments * height, width], from: (0..count as u32).collect() })
            }
            Places::Map(known, map) if known == shape => {
                let (y, x) = map.split_at(count);
                place(|put| {
                    // Half a pixel, since a map gives centres and an image begins at an edge.
                    y.iter().zip(x).enumerate().for_each(|(i, (y, x))| put(i, y + 0.5, x + 0.5));
                })
            }
            Places::Map(known, _) => {
                Err(format!("the array has shape {shape:?}, the pixel map is of {known:?}"))
            }
            Places::Panels(panels) => {
                for panel in panels.iter() {
                    let rows = if panel.segment.is_some() { height } else { segments * height };
                    let segment = panel.segment.unwrap_or(0);
                    if panel.ss[1] >= rows || panel.fs[1] >= width || segment >= segments {
                        return Err(format!(
                            "a panel reaches to segment {segment}, row {}, column {}, outside \
                             of an array of shape {shape:?}",
                            panel.ss[1], panel.fs[1]
                        ));
                    }
                }
                place(|put| panels.iter().for_each(|panel| panel.pixels(height, width, put)))
            }
        }
    }
}

impl Panel {
    /// Hands out the pixels: place in the data, y and x of the centre.
    fn pixels(&self, height: usize, width: usize, put: &mut dyn FnMut(usize, f64, f64)) {
        let first = self.segment.unwrap_or(0) * height;
        for ss in self.ss[0]..=self.ss[1] {
            for fs in self.fs[0]..=self.fs[1] {
                let (down, along) =
                    ((ss - self.ss[0]) as f64 + 0.5, (fs - self.fs[0]) as f64 + 0.5);
                let at = |axis: usize| {
                    self.corner[axis] + along * self.along_fs[axis] + down * self.along_ss[axis]
                };
                put((first + ss) * width + fs, at(1), at(0));
            }
        }
    }
}

/// The table of pixels that `pixels` hands out, twice the same.
fn place(pixels: impl Fn(&mut dyn FnMut(usize, f64, f64))) -> Result<Table, String> {
    let mut ends = [[f64::INFINITY, f64::NEG_INFINITY]; 2];
    let mut finite = true;
    pixels(&mut |_, y, x| {
        finite &= y.is_finite() && x.is_finite();
        for (ends, at) in ends.iter_mut().zip([y, x]) {
            *ends = [ends[0].min(at.floor()), ends[1].max(at.floor())];
        }
    });
    let [rows, columns] = ends.map(|[low, high]| high - low + 1.0);
    if !finite || rows * columns > MAX_PIXELS as f64 {
        return Err(format!(
            "it makes an image of {rows}×{columns} pixels; {MAX_PIXELS} are allowed"
        ));
    }
    let shape = [rows.max(0.0) as usize, columns.max(0.0) as usize];
    let mut from = vec![NOTHING; shape[0] * shape[1]];
    pixels(&mut |pixel, y, x| {
        let (row, column) = (y.floor() - ends[0][0], x.floor() - ends[1][0]);
        from[row as usize * shape[1] + column as usize] = pixel as u32;
    });
    Ok(Table { shape, from })
}

struct Placing {
    places: Places,
    fill: [u8; 8],
    table: PerShape<Table>,
}

impl Each for Placing {
    fn event(&mut self, inputs: &[Item<'_>], out: &mut Out<'_, '_>) -> Result<(), String> {
        let [item] = inputs else { return Ok(()) };
        let (places, shape) = (&self.places, item.shape());
        let table = self.table.get(shape, || places.table(shape))?;
        with_type!(item.dtype, T => {
            let fill: T = bytemuck::pod_read_unaligned(&self.fill[..size_of::<T>()]);
            let data = typed::<T>(item.data);
            out.bytes(0, &table.shape, |to| {
                let to: &mut [T] = bytemuck::cast_slice_mut(to);
                to.iter_mut().zip(&table.from).for_each(|(to, &from)| {
                    *to = data.get(from as usize).copied().unwrap_or(fill);
                });
            });
        });
        Ok(())
    }
}
