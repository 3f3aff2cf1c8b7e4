//! Dates as RFC 3339 writes them, in ns since 1970.

/// Of `2026-11-21T01:00:00.123456+00:00`. None when it is no such date or lies outside of what
/// fits.
pub fn ns(text: &str) -> Option<u64> {
    let (date, rest) = text.split_once(['T', 't', ' '])?;
    let mut parts = date.splitn(3, '-').map(|p| p.parse::<i64>().ok());
    let (year, month, day) = (parts.next()??, parts.next()??, parts.next()??);
    let at = rest.find(['Z', 'z', '+', '-']).unwrap_or(rest.len());
    let (time, zone) = rest.split_at(at);
    let (time, fraction) = time.split_once('.').unwrap_or((time, ""));
    let mut parts = time.splitn(3, ':').map(|p| p.parse::<i64>().ok());
    let (hour, minute, second) = (parts.next()??, parts.next()??, parts.next().unwrap_or(Some(0))?);
    let ranges = [(year, 1970, 2500), (month, 1, 12), (day, 1, 31), (hour, 0, 24), (minute, 0, 59)];
    if ranges.iter().any(|(v, low, high)| v < low || v > high) || !(0..=60).contains(&second) {
        return None;
    }
    let seconds = days(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second;
    let seconds = u64::try_from(seconds - offset(zone)?).ok()?;
    seconds.checked_mul(1_000_000_000)?.checked_add(fraction_ns(fraction)?)
}

/// Days since 1970-01-01 of the Gregorian calendar.
fn days(year: i64, month: i64, day: i64) -> i64 {
    // Years begin in March, so that the day that leap years have more is the last.
    let year = if month <= 2 { year - 1 } else { year };
    let month = (month + 9) % 12;
    let of_year = (153 * month + 2) / 5 + day - 1;
    year * 365 + year / 4 - year / 100 + year / 400 + of_year - 719_468
}

/// Seconds that a zone is ahead.
fn offset(zone: &str) -> Option<i64> {
    let sign = match zone.chars().next() {
        None | Some('Z' | 'z') => return Some(0),
        Some('-') => -1,
        _ => 1,
    };
    let (hours, minutes) = zone[1..].split_once(':').unwrap_or((&zone[1..], "0"));
    let (hours, minutes) = (hours.parse::<u32>().ok()?, minutes.parse::<u32>().ok()?);
    (hours < 24 && minutes < 60).then(|| sign * i64::from(hours * 3600 + minutes * 60))
}

fn fraction_ns(digits: &str) -> Option<u64> {
    if !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let mut ns = 0;
    for place in 0..9 {
        let digit = digits.as_bytes().get(place).map_or(0, |b| u64::from(b - b'0'));
        ns = ns * 10 + digit;
    }
    Some(ns)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_what_the_calendar_says() {
        let cases = [
            ("1970-01-01T00:00:00Z", Some(0)),
            ("2000-02-29T12:00:00.5Z", Some(951_825_600_500_000_000)),
            ("2026-11-21T01:00:00.123456+00:00", Some(1_795_222_800_123_456_000)),
            ("2026-11-21T02:30:00+01:30", Some(1_795_222_800_000_000_000)),
            ("2026-11-21T02:30:00", Some(1_795_228_200_000_000_000)),
            ("2026-13-21T02:30:00Z", None),
            ("2026-11-21", None),
            ("2026-11-21T01:00:00.12x", None),
            ("1970-01-01T00:00:00+09:00", None),
            ("9999999999999999999-01-01T00:00:00Z", None),
            ("", None),
            ("T", None),
            ("2026-11-21T01:00:00+é", None),
        ];
        for (text, expected) in cases {
            assert_eq!(ns(text), expected, "{text}");
        }
    }
}
