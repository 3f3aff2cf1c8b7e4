//! `threshold`: elements outside a range become a fill value.

use crate::data::batch::Column;
use crate::data::column_views::{Number, typed};
use crate::data::event_values::{Filling, with_items};
use crate::data::owned_column::{EventErrors, OwnedColumn, scalar_bytes};
use crate::data::types::Type;
use crate::data::value::Scalar;
use crate::error::Fault;
use crate::op::checks::numbers_only;
use crate::op::doc::{Class, Form, InputDoc, OpDoc, OutputDoc, ParamDoc};
use crate::op::fill;
use crate::op::kind::{OpKind, Prepared};
use crate::op::parameters::Args;
use crate::op::per_event::{Kernel, PerEvent};
use crate::with_type;

static DOC: OpDoc = OpDoc {
    name: "threshold",
    summary: "elements below or above a bound become a fill value",
    text: "numpy's where((a < below) | (a > above), fill, a). Elements equal to a bound stay, and \
           so does NaN. The element type stays, so the fill value must be one of it.",
    example: r#"{"op": "threshold", "in": "image", "below": 10, "fill": 0}"#,
    class: Class::PerEvent,
    form: Form::Fixed(&[InputDoc {
        name: "array",
        doc: "scalar or array of numbers",
        required: true,
    }]),
    with: false,
    params: &[
        ParamDoc {
            name: "below",
            kind: "number",
            default: "none",
            unit: "of the input",
            range: "any",
            doc: "elements below this become the fill value",
        },
        ParamDoc {
            name: "above",
            kind: "number",
            default: "none",
            unit: "of the input",
            range: "any",
            doc: "elements above this become the fill value",
        },
        fill::fill("what they become"),
    ],
    outputs: &[OutputDoc { name: "value", doc: "as the input" }],
};

/// The op.
pub struct Threshold;

impl OpKind for Threshold {
    fn doc(&self) -> &'static OpDoc {
        &DOC
    }

    fn prepare(&self, args: &Args<'_>) -> Result<Prepared, Fault> {
        let (below, above) = (args.number("below")?, args.number("above")?);
        let fill = fill::read(args)?;
        if below.is_none() && above.is_none() {
            return Err(Fault::of(
                "below",
                "neither bound is given",
                "give `below`, `above` or both",
            ));
        }
        Ok(Prepared::per_event(Bounds {
            below: below.unwrap_or(f64::NEG_INFINITY),
            above: above.unwrap_or(f64::INFINITY),
            fill,
        }))
    }
}

#[derive(Debug, Clone, Copy)]
struct Bounds {
    below: f64,
    above: f64,
    fill: f64,
}

impl PerEvent for Bounds {
    fn bind(&self, inputs: &[Type]) -> Result<(Vec<Type>, Box<dyn Kernel>), Fault> {
        numbers_only(inputs, &["array"])?;
        fill::element(&inputs[0], self.fill)?;
        Ok((inputs.to_vec(), Box::new(*self)))
    }
}

impl Kernel for Bounds {
    fn run(
        &mut self,
        events: usize,
        inputs: &[&Column<'_>],
        outputs: &mut [OwnedColumn],
        errors: &mut EventErrors,
    ) {
        if let Column::Scalars { dtype, data, present } = inputs[0] {
            let fill = Scalar::from_f64(*dtype, self.fill).map_or([0; 8], scalar_bytes);
            outputs[0].start_scalars(*dtype, events);
            let to = outputs[0].scalar_bytes_mut();
            with_type!(*dtype, T => self.apply::<T>(data, &fill, to));
            if let Some(present) = present {
                outputs[0].present_mut().copy_from_slice(present);
            }
            return;
        }
        outputs[0].set_absent();
        with_items(inputs[0], events, |items| {
            let fill = Scalar::from_f64(items.dtype, self.fill).map_or([0; 8], scalar_bytes);
            let mut filling = Filling::new(&mut outputs[0], items.dtype);
            for event in 0..events {
                let Some(item) = items.get(event) else {
                    filling.absent();
                    continue;
                };
                filling.push(item.dims, errors, |bytes| {
                    with_type!(items.dtype, T => self.apply::<T>(item.data, &fill, bytes));
                });
            }
        });
    }
}

impl Bounds {
    fn apply<T: Number>(&self, from: &[u8], fill: &[u8; 8], to: &mut [u8]) {
        let fill: T = bytemuck::pod_read_unaligned(&fill[..size_of::<T>()]);
        let from = typed::<T>(from);
        let keep = |x: T| if x.f64() < self.below || x.f64() > self.above { fill } else { x };
        match bytemuck::try_cast_slice_mut::<u8, T>(to) {
            Ok(to) => to.iter_mut().zip(from.iter()).for_each(|(to, &x)| *to = keep(x)),
            Err(_) => {
                for (to, &x) in to.chunks_exact_mut(size_of::<T>()).zip(from.iter()) {
                    to.copy_from_slice(bytemuck::bytes_of(&keep(x)));
                }
            }
        }
    }
}
