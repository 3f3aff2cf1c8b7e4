//! User code: what a graph says of it, and what a process must offer that runs it. The engine calls
//! it through [`Foreign`], and knows neither processes nor languages.

use crate::data::batch::Column;
use crate::data::column_views::Mask;
use crate::data::frame::Frame;
use crate::data::owned_column::{EventErrors, OwnedColumn};
use crate::data::types::Type;
use crate::op::plain::Plain;
use serde_json::{Map, Value as Json};
use std::fmt;
use std::sync::Arc;

/// One use of user code by a node.
#[derive(Clone, PartialEq)]
pub struct UserCode {
    /// The file it was read from, for messages.
    pub file: String,
    /// Name of the function or class in it.
    pub name: String,
    /// The whole source.
    pub source: Arc<str>,
    /// Name of the environment that runs it.
    pub env: String,
    /// Parameters by name; all of them, with defaults where the node gives none.
    pub params: Map<String, Json>,
    /// Longest time for one event, a merge or a finish, in ms.
    pub timeout_ms: u64,
    /// Most bytes of a state.
    pub state_bytes: u64,
    /// True for a reduction whose states are merged by code of its own.
    pub merges: bool,
    /// Types of the outputs as declared, in order.
    pub outputs: Vec<Type>,
}

impl fmt::Debug for UserCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{} in {}", self.file, self.name, self.env)
    }
}

/// Some events for user code.
#[derive(Debug, Clone, Copy)]
pub struct Call<'a> {
    /// How many.
    pub events: usize,
    /// Those that take part: in which all inputs are present.
    pub mask: Mask<'a>,
    /// One column per input.
    pub columns: &'a [&'a Column<'a>],
}

/// What runs user code. Calls wait for the answer, at most about as long as the code's deadline
/// says; only [`Foreign::update`] does not wait.
pub trait Foreign: Send + Sync + fmt::Debug {
    /// Makes ready to run this code, on inputs of these types. `place` is which use of it this is: what the
    /// code keeps for itself it keeps where the place and the code are the same as before. Empty: a new one.
    ///
    /// # Errors
    /// Text for people: the reason, and the last line of a traceback.
    fn load(&self, code: &Arc<UserCode>, inputs: &[Type], place: &str) -> Result<(), String>;

    /// Per-event code: one entry in each output for every event, absent where it does not take part
    /// or fails.
    fn events(
        &self,
        code: &Arc<UserCode>,
        call: Call<'_>,
        outputs: &mut [OwnedColumn],
        errors: &mut EventErrors,
    );

    /// A reduction takes in events: the state after them, or as it was where none could be taken in.
    /// `None` begins with a new state.
    ///
    /// # Errors
    /// When there is no state to go on with.
    fn absorb(
        &self,
        code: &Arc<UserCode>,
        state: Option<Plain>,
        call: Call<'_>,
        errors: &mut EventErrors,
    ) -> Result<Plain, String>;

    /// States merged by the user's own `merge`, from the first to the last.
    ///
    /// # Errors
    /// What the code raised.
    fn merge(&self, code: &Arc<UserCode>, states: &[Plain]) -> Result<Plain, String>;

    /// What a state gives: one entry in each output.
    ///
    /// # Errors
    /// What the code raised.
    fn finish(
        &self,
        code: &Arc<UserCode>,
        state: &Plain,
        outputs: &mut [OwnedColumn],
    ) -> Result<(), String>;

    /// Code over published values: gives it this heartbeat's, or the newest when it is free again,
    /// and returns at once. A call of no events gives it nothing. The outputs become those of the newest run
    /// that has ended, if any; told is the heartbeat of which it spoke.
    ///
    /// # Errors
    /// What the newest run raised.
    fn update(
        &self,
        code: &Arc<UserCode>,
        frame: &Frame,
        call: Call<'_>,
        outputs: &mut [OwnedColumn],
    ) -> Result<Option<u64>, String>;
}
