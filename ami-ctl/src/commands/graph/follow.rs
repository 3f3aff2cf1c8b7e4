//! When `graph apply --watch` acts: contents of files come in, what to do comes out; no file, no clock.
//!
//! Contents decide, not times or names: an editor that renames over the file, a network file system that
//! tells of nothing and a `touch` all look alike.

use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// A hash of what a file holds; None where it cannot be read.
pub type Content = Option<[u8; 32]>;
/// All files that count at one moment.
pub type Contents = BTreeMap<PathBuf, Content>;

/// The content of a file's bytes.
pub fn content(bytes: &[u8]) -> Content {
    Some(Sha256::digest(bytes).into())
}

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Wait.
    Nothing,
    /// Check what is there, and apply it if it is good.
    Try,
    /// Say that the files are again what runs.
    AsItRuns,
}

/// What was seen and done so far.
#[derive(Debug, Default)]
pub struct Follow {
    seen: Option<Contents>,
    tried: Option<Contents>,
    applied: Option<Contents>,
}

impl Follow {
    /// Takes what the files hold now. What changes while it is looked at, such as a file that is half
    /// written, is waited for until it is the same twice.
    pub fn look(&mut self, now: Contents) -> Next {
        let settled = self.seen.as_ref().is_none_or(|seen| *seen == now);
        let known = self.tried.as_ref() == Some(&now);
        self.seen = Some(now);
        if !settled || known {
            return Next::Nothing;
        }
        self.tried.clone_from(&self.seen);
        if self.applied == self.tried { Next::AsItRuns } else { Next::Try }
    }

    /// What was tried last is what runs.
    pub fn applied(&mut self) {
        self.applied.clone_from(&self.tried);
    }

    /// Somebody else has changed what runs.
    pub fn overtaken(&mut self) {
        self.applied = None;
    }

    /// What was tried last could not be judged and is to be tried again.
    pub fn again(&mut self) {
        self.tried = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(graph: &str, code: Option<&str>) -> Contents {
        [
            ("g.json".into(), content(graph.as_bytes())),
            ("hits.py".into(), code.and_then(|text| content(text.as_bytes()))),
        ]
        .into()
    }

    #[test]
    fn what_is_there_at_first_is_tried_at_once() {
        let mut follow = Follow::default();
        assert_eq!(follow.look(files("1", Some("a"))), Next::Try);
        follow.applied();
        for _ in 0..3 {
            assert_eq!(follow.look(files("1", Some("a"))), Next::Nothing, "nothing has changed");
        }
    }

    #[test]
    fn a_change_is_tried_once_when_it_has_settled() {
        let mut follow = Follow::default();
        follow.look(files("1", Some("a")));
        follow.applied();
        // Half written, gone while it is renamed, then there.
        for step in [files("1", Some("")), files("1", None), files("1", Some("b"))] {
            assert_eq!(follow.look(step), Next::Nothing);
        }
        assert_eq!(follow.look(files("1", Some("b"))), Next::Try);
        assert_eq!(follow.look(files("1", Some("b"))), Next::Nothing, "told once, good or not");
        assert_eq!(follow.look(files("2", Some("b"))), Next::Nothing);
        assert_eq!(follow.look(files("2", Some("b"))), Next::Try);
    }

    #[test]
    fn a_mistake_taken_back_is_not_applied_anew() {
        let mut follow = Follow::default();
        follow.look(files("1", Some("a")));
        follow.applied();
        let mut to = |now: Contents| {
            follow.look(now.clone());
            follow.look(now)
        };
        assert_eq!(to(files("1", Some("mistake"))), Next::Try);
        assert_eq!(to(files("1", Some("a"))), Next::AsItRuns);
        assert_eq!(to(files("1", None)), Next::Try, "a file that stays away is told");
        follow.overtaken();
        follow.look(files("1", Some("a")));
        assert_eq!(follow.look(files("1", Some("a"))), Next::Try, "it is not what runs any more");
    }

    #[test]
    fn what_could_not_be_judged_is_tried_again() {
        let mut follow = Follow::default();
        assert_eq!(follow.look(files("1", None)), Next::Try);
        follow.again();
        assert_eq!(follow.look(files("1", None)), Next::Try);
    }
}
