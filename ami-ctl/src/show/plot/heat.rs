//! Heat maps: two pixels per character cell, block means where the image is larger.

use crate::client::array::NdArray;
use crate::print;
use crate::show::plot::{plane, range};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Color, Style};

/// Anchors of viridis, dark to bright.
const PALETTE: [(u8, u8, u8); 6] =
    [(68, 1, 84), (65, 68, 135), (42, 120, 142), (34, 168, 132), (122, 209, 81), (253, 231, 37)];

pub(super) fn draw(image: &NdArray, area: Rect, buffer: &mut Buffer) {
    let (rows, columns, values) = plane(image);
    let (width, height) = (usize::from(area.width), usize::from(area.height) * 2);
    if width == 0 || height == 0 || values.is_empty() {
        return;
    }
    // Square pixels: a cell is about twice as high as wide, and holds two pixels.
    let scale = (columns as f64 / width as f64).max(rows as f64 / height as f64).max(1.0);
    let (w, h) = ((columns as f64 / scale) as usize, (rows as f64 / scale) as usize);
    let (w, h) = (w.clamp(1, width), h.clamp(1, height));
    let pixels = shrink(&values, (rows, columns), (h, w));
    let Some((low, high)) = range(&pixels) else {
        buffer.set_stringn(area.x, area.y, "no numbers yet", width, Style::new());
        return;
    };
    let colour = |y: usize, x: usize| match pixels.get(y * w + x).filter(|_| y < h) {
        Some(v) if v.is_finite() => shade((v - low) / (high - low).max(f64::MIN_POSITIVE)),
        Some(_) => Color::Red,
        None => Color::Reset,
    };
    for y in 0..h.div_ceil(2) {
        for x in 0..w {
            let style = Style::new().fg(colour(2 * y, x)).bg(colour(2 * y + 1, x));
            buffer.set_string(area.x + x as u16, area.y + y as u16, "▀", style);
        }
    }
    let axes: Vec<String> = image.shape.iter().map(ToString::to_string).collect();
    let legend = format!(
        "{} {}: {} … {}",
        image.name,
        axes.join("×"),
        print::number(low),
        print::number(high)
    );
    let beside = area.x + (w + 1) as u16;
    if beside < area.right() {
        let room = usize::from(area.right() - beside);
        buffer.set_stringn(beside, area.y, legend, room, Style::new().fg(Color::DarkGray));
    }
}

/// Means of blocks; what is not finite is left out unless there is nothing else.
fn shrink(values: &[f64], from: (usize, usize), to: (usize, usize)) -> Vec<f64> {
    let bounds = |i: usize, from: usize, to: usize| {
        (i * from / to, ((i + 1) * from / to).max(i * from / to + 1))
    };
    let mut pixels = Vec::with_capacity(to.0 * to.1);
    for y in 0..to.0 {
        let (top, bottom) = bounds(y, from.0, to.0);
        for x in 0..to.1 {
            let (left, right) = bounds(x, from.1, to.1);
            let (mut sum, mut count) = (0.0, 0u32);
            for row in top..bottom {
                for value in &values[row * from.1 + left..row * from.1 + right] {
                    if value.is_finite() {
                        sum += value;
                        count += 1;
                    }
                }
            }
            pixels.push(if count == 0 { f64::NAN } else { sum / f64::from(count) });
        }
    }
    pixels
}

fn shade(fraction: f64) -> Color {
    // Not a number where the range itself overflows.
    let fraction = if fraction.is_nan() { 0.0 } else { fraction };
    let position = fraction.clamp(0.0, 1.0) * (PALETTE.len() - 1) as f64;
    let below = (position as usize).min(PALETTE.len() - 2);
    let part = position - below as f64;
    let mix = |a: u8, b: u8| (f64::from(a) + (f64::from(b) - f64::from(a)) * part).round() as u8;
    let ((r0, g0, b0), (r1, g1, b1)) = (PALETTE[below], PALETTE[below + 1]);
    Color::Rgb(mix(r0, r1), mix(g0, g1), mix(b0, b1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_become_means() {
        let image = [1.0, 2.0, 3.0, 4.0, 5.0, f64::NAN];
        assert_eq!(shrink(&image, (2, 3), (2, 3))[..5], image[..5]);
        assert_eq!(shrink(&image, (2, 3), (1, 1)), [3.0]);
        assert!(shrink(&[f64::NAN], (1, 1), (1, 1))[0].is_nan());
    }

    #[test]
    fn colours_go_from_dark_to_bright() {
        assert_eq!(shade(0.0), Color::Rgb(68, 1, 84));
        assert_eq!(shade(1.0), Color::Rgb(253, 231, 37));
        assert_eq!(shade(f64::NAN), shade(0.0));
    }
}
