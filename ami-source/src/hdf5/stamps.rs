//! When an event was: what the numbers of a file mean as ns since 1970, or as a counter. Pure.

use crate::hdf5::format::attribute::{Attribute, Plain};
use crate::hdf5::tree::text;
use crate::url::Epoch;

/// Seconds between the Unix and the EPICS epoch (1990-01-01).
const EPICS_EPOCH: u64 = 631_152_000;
/// ns per second.
const SECOND: u64 = 1_000_000_000;

/// What a number of a timestamp dataset is worth.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scale {
    /// ns of one; 0: told from each number's size.
    unit: f64,
    /// ns that are added.
    origin: u64,
    /// A counter stays as it is.
    counter: bool,
    epics: bool,
}

impl Scale {
    /// From the attributes of the dataset: `units`, and `offset` or `start` as a date.
    pub fn of(attributes: &[Attribute], epoch: Epoch) -> Scale {
        let unit: f64 = match text(attributes, "units").unwrap_or("").trim() {
            "ns" | "nanosecond" | "nanoseconds" => 1.0,
            "us" | "µs" | "μs" | "microsecond" | "microseconds" => 1e3,
            "ms" | "millisecond" | "milliseconds" => 1e6,
            "s" | "sec" | "second" | "seconds" => 1e9,
            _ => 0.0,
        };
        let date = text(attributes, "offset").or(text(attributes, "start")).and_then(date);
        let number = attributes.iter().find(|a| a.name == "offset").and_then(|a| match a.value {
            Some(Plain::Number(n)) if n > 0.0 => Some((n * unit.max(1.0)) as u64),
            _ => None,
        });
        Scale {
            unit,
            origin: date.or(number).unwrap_or(0),
            counter: epoch == Epoch::Counter,
            epics: epoch == Epoch::Epics,
        }
    }

    /// A whole number as a timestamp.
    pub fn whole(&self, n: u64) -> u64 {
        if self.counter {
            return n;
        }
        let (sec, nsec) = (n >> 32, n & 0xffff_ffff);
        // LCLS writes seconds and nanoseconds in one word: as ns these would be after 2116.
        let packed = self.unit == 0.0 && n >= 1 << 62 && nsec < SECOND;
        let ns = match packed {
            true => sec.saturating_mul(SECOND).saturating_add(nsec),
            false => n.saturating_mul(self.unit_of(n as f64) as u64),
        };
        self.shifted(ns)
    }

    /// A float as a timestamp.
    pub fn float(&self, x: f64) -> u64 {
        if self.counter {
            return x as u64;
        }
        let unit = self.unit_of(x);
        // The whole part apart: ns since 1970 have more digits than a float64.
        let whole = (x.trunc() as u64).saturating_mul(unit as u64);
        let rest = (x.fract() * unit).round().max(0.0) as u64;
        self.shifted(whole.saturating_add(rest))
    }

    fn shifted(&self, ns: u64) -> u64 {
        let epics = if self.epics { EPICS_EPOCH * SECOND } else { 0 };
        ns.saturating_add(self.origin).saturating_add(epics)
    }

    /// Without a unit: what makes it a time of our days.
    fn unit_of(&self, x: f64) -> f64 {
        match x {
            _ if self.unit > 0.0 => self.unit,
            x if x < 1e11 => 1e9,
            x if x < 1e14 => 1e6,
            x if x < 1e17 => 1e3,
            _ => 1.0,
        }
    }
}

/// ns since 1970 of `2024-05-06T07:08:09.5+02:00`, as NeXus writes dates.
pub fn date(text: &str) -> Option<u64> {
    let (day, rest) = text.trim().split_once(['T', ' '])?;
    let mut day = day.split('-').map(|n| n.parse::<i64>().ok());
    let (year, month, day) = (day.next()??, day.next()??, day.next()??);
    let at = rest.find(['Z', '+', '-']).unwrap_or(rest.len());
    let (clock, zone) = rest.split_at(at);
    let mut clock = clock.split(':');
    let (hour, minute) = (clock.next()?.parse::<i64>().ok()?, clock.next()?.parse::<i64>().ok()?);
    let second: f64 = clock.next().unwrap_or("0").parse().ok()?;
    let sane = (1970..2262).contains(&year) && (1..13).contains(&month) && (1..32).contains(&day);
    if !sane
        || !(0..24).contains(&hour)
        || !(0..60).contains(&minute)
        || !(0.0..61.0).contains(&second)
    {
        return None;
    }
    // Days since 1970 by the calendar whose years begin in March.
    let (y, m) = if month < 3 { (year - 1, month + 9) } else { (year, month - 3) };
    let days = 365 * y + y / 4 - y / 100 + y / 400 + (153 * m + 2) / 5 + day - 719_469;
    let seconds = days * 86_400 + hour * 3600 + minute * 60 - offset(zone)?;
    let whole = u64::try_from(seconds).ok()?.checked_mul(SECOND)?;
    Some(whole + (second * 1e9).round() as u64)
}

/// Seconds that a zone is ahead.
fn offset(zone: &str) -> Option<i64> {
    if zone.is_empty() || zone == "Z" {
        return Some(0);
    }
    let sign = if zone.starts_with('-') { -1 } else { 1 };
    let digits: String = zone.chars().filter(char::is_ascii_digit).collect();
    let hours: i64 = digits.get(..2)?.parse().ok()?;
    let minutes: i64 = digits.get(2..4).unwrap_or("0").parse().ok()?;
    Some(sign * (hours * 3600 + minutes * 60))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_read() {
        assert_eq!(date("1970-01-01T00:00:00Z"), Some(0));
        assert_eq!(date("2024-02-29T12:00:00.25+02:00"), Some(1_709_200_800_250_000_000));
        assert_eq!(date("2025-01-01 00:00:00"), Some(1_735_689_600_000_000_000));
        for wrong in
            ["", "yesterday", "2024-13-01T00:00:00", "2024-01-01T25:00:00", "9999-01-01T00:00"]
        {
            assert_eq!(date(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn numbers_are_times_of_our_days() {
        let plain = Scale::of(&[], Epoch::Unix);
        let t = 1_735_689_600_000_000_000;
        for n in [1_735_689_600, 1_735_689_600_000, 1_735_689_600_000_000, t] {
            assert_eq!(plain.whole(n), t);
            assert_eq!(plain.float(n as f64), t);
        }
        assert_eq!(plain.float(1_735_689_600.25), t + 250_000_000);
        let lcls = Scale::of(&[], Epoch::Epics);
        let sec = 1_735_689_600 - EPICS_EPOCH;
        assert_eq!(lcls.whole(sec << 32 | 77), t + 77);
        assert_eq!(Scale::of(&[], Epoch::Counter).whole(5), 5);
        let attribute = |name: &str, value: &str| Attribute {
            name: name.into(),
            value: Some(Plain::Text(value.into())),
        };
        let nexus = [attribute("units", "second"), attribute("offset", "2025-01-01T00:00:00")];
        assert_eq!(Scale::of(&nexus, Epoch::Unix).float(0.5), t + 500_000_000);
        for hostile in [f64::NAN, f64::INFINITY, -1.0, 1e300] {
            plain.float(hostile);
        }
    }
}
