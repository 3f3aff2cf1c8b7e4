//! What opening a kind of source gives: something that can be opened again, or something that lives.

use crate::timed::Timed;
use crate::url::Pace;

/// A source, as its URL part opens it.
pub(crate) enum Opened {
    /// Data that are there before they are taken, so that a pass over them can begin again.
    Canned(Opener),
    /// Data that come now. Such a source mends itself: it finds its peer again and says meanwhile
    /// that it is lost.
    Live(Box<dyn Timed>),
}

/// What a pass over canned data is made of, and the pace they want when the URL names none.
pub(crate) struct Opener {
    pub open: Box<dyn FnMut() -> anyhow::Result<Box<dyn Timed>>>,
    pub pace: Pace,
}
