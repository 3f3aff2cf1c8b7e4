//! Which bins each pixel adds to, and with what share: made once per geometry.
//!
//! The rules are pyFAI's: bins of equal width from the least to just above the greatest coordinate;
//! a pixel goes into the bin of its centre, or is spread over the bins that its bounding box
//! overlaps, as if it were flat along the radius.

/// What the bins are of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Distance from the beam on the detector, in the unit of `pixel_size`.
    Radius,
    /// Momentum transfer, in the inverse of the unit of the wavelength.
    Q,
    /// Scattering angle, degrees.
    TwoTheta,
}

/// Where the pixels are and how they are binned.
#[derive(Debug, Clone)]
pub struct Geometry {
    /// The beam, [y, x] in pixels.
    pub center: [f64; 2],
    /// Height and width of a pixel.
    pub size: [f64; 2],
    /// From the sample to the detector, as `size`; any number for `Unit::Radius`.
    pub distance: f64,
    /// Any number unless `Unit::Q`.
    pub wavelength: f64,
    /// What the bins are of.
    pub unit: Unit,
    /// Radial bins.
    pub bins: usize,
    /// Sectors of equal angle, from -180 degrees.
    pub sectors: usize,
    /// The bins' ends; None: the image's.
    pub range: Option<[f64; 2]>,
    /// Whether pixels are spread by their bounding boxes.
    pub split: bool,
}

/// Just above 1 in float32: the upper end of the last bin is outside the data by this factor.
const JUST_ABOVE: f64 = 1.0 + f32::EPSILON as f64;

/// Bins of every pixel.
#[derive(Debug)]
pub struct Table {
    /// Centres of the radial bins.
    pub axis: Vec<f64>,
    /// Bins over all sectors. Pixels that are in no bin go to one more.
    pub bins: usize,
    /// The pixels' shares.
    pub shares: Shares,
}

/// The pixels' shares in bins.
#[derive(Debug)]
pub enum Shares {
    /// Each pixel belongs to one bin.
    Whole(Vec<u32>),
    /// Pixel `i` has the bins and shares `ends[i-1]..ends[i]`.
    Split {
        /// By pixel.
        ends: Vec<u32>,
        /// Bin and share.
        parts: Vec<(u32, f32)>,
    },
}

impl Geometry {
    /// The coordinate that is binned, of a point in the image.
    fn coordinate(&self, y: f64, x: f64) -> f64 {
        let r = ((y - self.center[0]) * self.size[0]).hypot((x - self.center[1]) * self.size[1]);
        let angle = || (r / self.distance).atan();
        match self.unit {
            Unit::Radius => r,
            Unit::TwoTheta => angle().to_degrees(),
            Unit::Q => 4.0 * std::f64::consts::PI / self.wavelength * (angle() / 2.0).sin(),
        }
    }

    fn sector(&self, y: f64, x: f64) -> usize {
        let (dy, dx) = ((y - self.center[0]) * self.size[0], (x - self.center[1]) * self.size[1]);
        let turn = (dy.atan2(dx) / std::f64::consts::TAU + 0.5) * self.sectors as f64;
        (turn as usize).min(self.sectors - 1)
    }

    /// Least and greatest coordinate of a pixel: of its bounding box, or twice that of its centre.
    fn extent(&self, y: f64, x: f64) -> [f64; 2] {
        let center = self.coordinate(y, x);
        if !self.split {
            return [center, center];
        }
        let corners = [(-0.5, -0.5), (-0.5, 0.5), (0.5, -0.5), (0.5, 0.5)];
        let away = corners
            .iter()
            .map(|(dy, dx)| (self.coordinate(y + dy, x + dx) - center).abs())
            .fold(0.0, f64::max);
        [center - away, center + away]
    }

    /// The table of an image; `used` says which pixels take part.
    ///
    /// # Errors
    /// When no pixel does, or the table would be too large.
    pub fn table(&self, shape: [usize; 2], used: impl Fn(usize) -> bool) -> Result<Table, String> {
        let width = shape[1].max(1);
        let place = |pixel: usize| ((pixel / width) as f64, (pixel % width) as f64);
        let extent = |pixel: usize| {
            let (y, x) = place(pixel);
            self.extent(y, x)
        };
        let pixels = shape[0] * shape[1];
        let [low, high] = self.range.unwrap_or_else(|| {
            let all = (0..pixels).filter(|&pixel| used(pixel)).map(extent);
            let [low, high] = all.fold([f64::INFINITY, 0.0], |[low, high], [a, b]| {
                [f64::min(low, a), f64::max(high, b)]
            });
            [if low.is_finite() { low.max(0.0) } else { 0.0 }, high]
        });
        let end = if high > 0.0 { high * JUST_ABOVE } else { high / JUST_ABOVE };
        let step = (end - low) / self.bins as f64;
        let inner = (high - low) / self.bins as f64;
        let axis = (0..self.bins).map(|bin| low + (bin as f64 + 0.5) * inner).collect();
        let bin = |[from, to]: [f64; 2]| [(from - low) / step, (to - low) / step];
        let spread = |pixel: usize| used(pixel).then(|| bin(extent(pixel)));
        let base = |pixel: usize| {
            let (y, x) = place(pixel);
            (self.sector(y, x) * self.bins) as u32
        };
        let bins = self.bins * self.sectors;
        let shares = if self.split {
            let limit = 16 * pixels + (1 << 20);
            // Around the beam a bounding box reaches below 0: that part counts at 0.
            let cut = if low > 0.0 { 0.0 } else { f64::NEG_INFINITY };
            split(pixels, self.bins, (limit, cut), spread, base)?
        } else {
            let nowhere = bins as u32;
            let one = |pixel| {
                let inside = |at: f64| (0.0..self.bins as f64).contains(&at);
                let at = spread(pixel).map(|[at, _]| at).filter(|&at| inside(at));
                at.map_or(nowhere, |at| base(pixel) + at as u32)
            };
            Shares::Whole((0..pixels).map(one).collect())
        };
        Ok(Table { axis, bins, shares })
    }
}

/// Spreads pixels over the bins between two ends, given in bins. `limit` bounds the parts; what
/// lies below `cut` is lost.
fn split(
    pixels: usize,
    bins: usize,
    (limit, cut): (usize, f64),
    spread: impl Fn(usize) -> Option<[f64; 2]>,
    base: impl Fn(usize) -> u32,
) -> Result<Shares, String> {
    let (mut ends, mut parts) = (Vec::with_capacity(pixels), Vec::with_capacity(2 * pixels));
    for pixel in 0..pixels {
        if let Some([from, to]) = spread(pixel)
            && to.floor() >= 0.0
            && from.floor() < bins as f64
        {
            let first = from.floor().max(0.0);
            let last = to.floor().min(bins as f64 - 1.0);
            let share = |bin: f64| {
                let begin = if bin == 0.0 { from.max(cut) } else { from.max(bin) };
                if from == to { 1.0 } else { ((to.min(bin + 1.0) - begin) / (to - from)) as f32 }
            };
            let base = base(pixel);
            let touched =
                (first as u32..=last as u32).map(|bin| (base + bin, share(f64::from(bin))));
            parts.extend(touched);
        }
        if parts.len() > limit {
            return Err("pixels spread over more than 16 bins each; use fewer bins".to_owned());
        }
        ends.push(parts.len() as u32);
    }
    Ok(Shares::Split { ends, parts })
}
