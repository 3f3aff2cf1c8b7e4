//! Runs user code: processes of Python beside a daemon, and what goes to and from them.
//!
//! ```text
//!     source → [shm ring] → worker → collector → store → client
//!                   │          │          │
//!                   └────► **ami-python** ◄┘
//! ```
//!
//! [`Python`] is what a daemon has: one process for each environment that its graphs name, started when
//! code is loaded. Fields lie in the ring, which the process maps as well; what nodes have computed is
//! copied into memory shared with it ([`ami_shm::Arena`]), and results come back in another. One packet each way
//! for each call, whatever number of events it has.
//!
//! Whatever user code does to its process, no other number changes:
//!
//! | module | what |
//! |---|---|
//! | `python` | the daemon's object: which code, which environment |
//! | `foreign` | what the engine asks of it |
//! | `env` | calls that outlive a process |
//! | `attempts` | what becomes of a call whose process has ended; pure |
//! | `health` | code that ends processes is switched off |
//! | `process`, `launch`, `vitals` | start, one call, deadline, end |
//! | `pack`, `results` | columns on the way in and out |
//! | `update` | code over published values, which takes its time |
//! | `log` | what user code prints |
//! | `package` | the Python half, compiled in |

mod attempts;
mod counters;
mod dry_run;
mod env;
mod foreign;
mod health;
mod launch;
mod log;
mod pack;
mod package;
mod process;
mod python;
mod results;
mod settings;
mod update;
mod vitals;

pub use ami_proto::config::Python as Settings;
pub use counters::Counts;
pub use health::Traceback;
pub use python::{Context, Python};
pub use settings::DEFAULT_ENV;
