//! CrystFEL geometries: panels with their corners and vectors, as far as an image needs them.
//!
//! A line is `key = value` or `panel/key = value`; `;` begins a comment. A key without a panel is
//! the default of the panels that begin below it. Keys that an image does not need are passed over.

use std::collections::BTreeMap;

/// Most panels.
const MAX_PANELS: usize = 100_000;

/// A rectangle of the data and where it lies.
#[derive(Debug, Clone, PartialEq)]
pub struct Panel {
    /// First and last column and row in the data, both included.
    pub fs: [usize; 2],
    /// See `fs`.
    pub ss: [usize; 2],
    /// Place of the corner of the first pixel, (x, y) in pixels.
    pub corner: [f64; 2],
    /// Step in (x, y) along a row of the data.
    pub along_fs: [f64; 2],
    /// Step in (x, y) along a column.
    pub along_ss: [f64; 2],
    /// Which image of a 3-d array it is in, from `dim0 = 3` and the like.
    pub segment: Option<usize>,
}

/// What is known of a panel while lines are read.
#[derive(Debug, Clone, Default)]
struct Draft {
    line: usize,
    /// min_fs, max_fs, min_ss, max_ss.
    ends: [Option<usize>; 4],
    corner: [Option<f64>; 2],
    along: [Option<[f64; 2]>; 2],
    segment: Option<usize>,
}

/// Reads a geometry.
///
/// # Errors
/// Names the line and what is wrong with it.
pub fn read(text: &str) -> Result<Vec<Panel>, String> {
    let mut default = Draft::default();
    let mut drafts: BTreeMap<&str, Draft> = BTreeMap::new();
    let mut order: Vec<&str> = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let number = number + 1;
        let line = line.split(';').next().unwrap_or_default().trim();
        if line.is_empty() {
            continue;
        }
        let (key, value) = line
            .split_once('=')
            .map(|(key, value)| (key.trim(), value.trim()))
            .ok_or_else(|| format!("line {number}: {line:?} is not `key = value`"))?;
        let Some((panel, key)) = key.rsplit_once('/') else {
            default.set(key, value).map_err(|e| format!("line {number}: {e}"))?;
            continue;
        };
        // Regions to ignore and groups of panels have names of their own.
        if panel.starts_with("bad")
            || panel.starts_with("group")
            || panel.starts_with("rigid_group")
        {
            continue;
        }
        let draft = drafts.entry(panel).or_insert_with(|| {
            order.push(panel);
            Draft { line: number, ..default.clone() }
        });
        draft.set(key, value).map_err(|e| format!("line {number}: {e}"))?;
        if order.len() > MAX_PANELS {
            return Err(format!("line {number}: more than {MAX_PANELS} panels"));
        }
    }
    if order.is_empty() {
        return Err("it has no panels (lines like `p0/min_fs = 0`)".to_owned());
    }
    let finished = |name: &&str| drafts[name].finish(name);
    order.iter().map(finished).collect()
}

impl Draft {
    fn set(&mut self, key: &str, value: &str) -> Result<(), String> {
        let number = || {
            let number = value.parse::<f64>().ok().filter(|x| x.is_finite());
            number.ok_or_else(|| format!("{key} = {value:?} is not a number"))
        };
        let whole = || {
            let number = number()?;
            let good = number.fract() == 0.0 && (0.0..1e9).contains(&number);
            good.then_some(number as usize)
                .ok_or_else(|| format!("{key} = {value:?} is not a whole number from 0"))
        };
        match key {
            "min_fs" => self.ends[0] = Some(whole()?),
            "max_fs" => self.ends[1] = Some(whole()?),
            "min_ss" => self.ends[2] = Some(whole()?),
            "max_ss" => self.ends[3] = Some(whole()?),
            "corner_x" => self.corner[0] = Some(number()?),
            "corner_y" => self.corner[1] = Some(number()?),
            "fs" => self.along[0] = Some(vector(key, value)?),
            "ss" => self.along[1] = Some(vector(key, value)?),
            _ => {
                let dim = key.strip_prefix("dim").is_some_and(|n| n.parse::<u8>().is_ok());
                if let Some(segment) = value.parse().ok().filter(|_| dim) {
                    self.segment = Some(segment);
                }
            }
        }
        Ok(())
    }

    fn finish(&self, name: &str) -> Result<Panel, String> {
        let missing = |key: &str| format!("line {}: panel {name:?} has no {key}", self.line);
        let end = |at: usize, key: &str| self.ends[at].ok_or_else(|| missing(key));
        let fs = [end(0, "min_fs")?, end(1, "max_fs")?];
        let ss = [end(2, "min_ss")?, end(3, "max_ss")?];
        if fs[0] > fs[1] || ss[0] > ss[1] {
            return Err(format!("line {}: panel {name:?} ends before it begins", self.line));
        }
        Ok(Panel {
            fs,
            ss,
            corner: [
                self.corner[0].ok_or_else(|| missing("corner_x"))?,
                self.corner[1].ok_or_else(|| missing("corner_y"))?,
            ],
            along_fs: self.along[0].ok_or_else(|| missing("fs"))?,
            along_ss: self.along[1].ok_or_else(|| missing("ss"))?,
            segment: self.segment,
        })
    }
}

/// `+0.99x -0.01y` as (x, y); z is passed over.
fn vector(key: &str, value: &str) -> Result<[f64; 2], String> {
    let bad = || format!("{key} = {value:?} is not a vector like +0.99x -0.01y");
    let text: String = value.chars().filter(|c| !c.is_whitespace()).collect();
    let mut sum = [0.0; 3];
    let mut begin = 0;
    for (at, axis) in text.char_indices().filter(|(_, c)| "xyz".contains(*c)) {
        let factor = match text.get(begin..at).unwrap_or_default() {
            "" | "+" => 1.0,
            "-" => -1.0,
            factor => factor.parse::<f64>().ok().filter(|x| x.is_finite()).ok_or_else(bad)?,
        };
        sum["xyz".find(axis).unwrap_or_default()] += factor;
        begin = at + 1;
    }
    if begin == 0 || begin != text.len() {
        return Err(bad());
    }
    Ok([sum[0], sum[1]])
}

#[cfg(test)]
mod tests {
    use super::*;

    const TWO: &str = "clen = 0.1 ; metres\nmax_fs = 3\np0/min_fs = 0\np0/min_ss = 0\np0/max_ss = 1\n\
        p0/corner_x = -4.5\np0/corner_y = 2\np0/fs = x\np0/ss = -0.5x + 1.0y +0.1z\n\n\
        p1/dim0 = 1\np1/dim1 = ss\np1/min_fs = 0\np1/min_ss = 0\np1/max_ss = 1\np1/corner_x = 1e1\n\
        p1/corner_y = 0\np1/fs = -y\np1/ss = +x\nbad0/min_x = 3\nrigid_group_a = p0,p1\n";

    #[test]
    fn panels_come_in_their_order_with_defaults() {
        let panels = read(TWO).unwrap();
        assert_eq!(panels.len(), 2);
        assert_eq!((panels[0].fs, panels[0].ss), ([0, 3], [0, 1]));
        assert_eq!(panels[0].corner, [-4.5, 2.0]);
        assert_eq!((panels[0].along_fs, panels[0].along_ss), ([1.0, 0.0], [-0.5, 1.0]));
        assert_eq!((panels[0].segment, panels[1].segment), (None, Some(1)));
        assert_eq!(panels[1].along_fs, [0.0, -1.0]);
    }

    #[test]
    fn mistakes_name_their_line() {
        let without = |line: &str| TWO.replace(line, "");
        let cases = [
            (TWO.replace("p0/fs = x", "p0/fs = q"), "line 8: fs = \"q\" is not a vector"),
            (TWO.replace("p0/min_fs = 0", "p0/min_fs = -1"), "line 3: min_fs"),
            (TWO.replace("p0/corner_y = 2", "p0/corner_y 2"), "line 7: "),
            (without("p0/corner_x = -4.5\n"), "line 3: panel \"p0\" has no corner_x"),
            (TWO.replace("max_fs = 3", "max_fs = nan"), "line 2: max_fs"),
            (TWO.replace("p1/max_ss = 1", "p1/max_ss = 1\np1/min_ss = 5"), "ends before"),
            ("clen = 1\n".to_owned(), "no panels"),
        ];
        for (text, expected) in cases {
            let error = read(&text).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
    }
}
