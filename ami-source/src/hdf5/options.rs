//! What a URL asks of the files it names.

use crate::url::Epoch;

/// How to read.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Options {
    /// Dataset of the events' times.
    pub timestamp: Option<String>,
    /// Dataset of the ids that join events of several files.
    pub id: Option<String>,
    /// A dataset whose first axis is the event.
    pub axis: Option<String>,
    /// Patterns of the fields that are wanted; none: all.
    pub fields: Vec<String>,
    /// Files are detectors of one run, joined by id, instead of runs one after the other.
    pub join: bool,
    /// Follow a file that grows; None: if it says that it is being written for readers.
    pub follow: Option<bool>,
    /// Events per second, where no dataset says when they were.
    pub rate: Option<f64>,
    /// What timestamps count from.
    pub epoch: Epoch,
}

impl Options {
    /// True for a field that is wanted under one of its names.
    pub fn wants<'a>(&self, names: impl IntoIterator<Item = &'a str> + Clone) -> bool {
        let any = |pattern: &String| names.clone().into_iter().any(|name| matches(pattern, name));
        self.fields.is_empty() || self.fields.iter().any(any)
    }

    /// ns from one event to the next, where no dataset says; so many events per second are usual.
    pub fn period(&self, usual: f64) -> u64 {
        match self.epoch {
            Epoch::Counter => 1,
            _ => (1e9 / self.rate.unwrap_or(usual)).max(1.0) as u64,
        }
    }
}

/// A path as a field's name: `/entry/data/data` is `entry:data:data`.
pub fn name_of(path: &str) -> String {
    path.trim_matches('/').replace('/', ":")
}

/// True when two ways of writing a path or a name mean the same.
pub fn same(path: &str, asked: &str) -> bool {
    path.trim_matches('/') == asked.trim_matches('/') || name_of(path) == asked
}

/// True when a name fits a pattern: `*` stands for any text, `?` for one character.
pub fn matches(pattern: &str, name: &str) -> bool {
    let (pattern, name): (Vec<char>, Vec<char>) =
        (pattern.chars().collect(), name.chars().collect());
    let (mut p, mut n) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while n < name.len() {
        match pattern.get(p) {
            Some('*') => {
                star = Some((p + 1, n));
                p += 1;
            }
            Some(c) if *c == '?' || *c == name[n] => (p, n) = (p + 1, n + 1),
            _ => match star {
                Some((after, from)) => {
                    star = Some((after, from + 1));
                    (p, n) = (after, from + 1);
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        for (pattern, name) in
            [("*", ""), ("a*", "abc"), ("*:x", "a:b:x"), ("a?c", "abc"), ("*b*b", "abxb")]
        {
            assert!(matches(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in [("", "a"), ("a", "ab"), ("a?", "a"), ("*x", "xy")] {
            assert!(!matches(pattern, name), "{pattern} {name}");
        }
        assert!(
            same("/entry/x", "entry/x") && same("/entry/x", "entry:x") && !same("/entry/x", "x")
        );
    }
}
