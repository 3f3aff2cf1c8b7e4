//! "Did you mean": the nearest of the names that would have been right.

/// `; did you mean X?` for a name close enough to be a slip of the fingers, else nothing.
pub fn did_you_mean<'a>(name: &str, names: impl IntoIterator<Item = &'a str>) -> String {
    let close = |n: &&str| strsim::damerau_levenshtein(name, n) <= 1 + name.chars().count() / 3;
    let nearest =
        names.into_iter().filter(close).min_by_key(|n| strsim::damerau_levenshtein(name, n));
    nearest.map(|n| format!("; did you mean {n:?}?")).unwrap_or_default()
}

/// Adds the nearest name to serde's "unknown field `x`, expected one of `a`, `b`".
pub fn with_hint(message: &str) -> String {
    let mut quoted = message.split('`').skip(1).step_by(2);
    let hint = match quoted.next() {
        Some(wrong) if message.contains("unknown") => did_you_mean(wrong, quoted),
        _ => String::new(),
    };
    format!("{}{hint}", message.trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_offered_and_nonsense_is_not() {
        assert_eq!(did_you_mean("pasce", ["loop", "pace"]), "; did you mean \"pace\"?");
        assert_eq!(did_you_mean("zzzzzz", ["loop", "pace"]), "");
        let serde = "unknown field `sigm`, expected one of `mean`, `sigma`";
        assert!(with_hint(serde).ends_with("did you mean \"sigma\"?"));
        assert_eq!(with_hint("missing field `length`"), "missing field `length`");
    }
}
