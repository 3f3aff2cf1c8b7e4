//! The person's hand: runs, watches and edits an ami system.
//!
//! ```text
//!     source → [shm ring] → worker → collector → store → client
//!                             ▲                    │
//!              **ctl** → manager                   └──→ **ctl**
//! ```
//!
//! [`client::Client`] speaks to the manager, [`store::Store`] to the store; the commands, tests and
//! examples are made of these two. One subcommand is one file of [`commands`].
//!
//! ```no_run
//! use ami_ctl::{client::Client, store::Store};
//! use ami_proto::config::Config;
//! use ami_proto::control::ctl_to_manager::Command;
//!
//! # fn main() -> anyhow::Result<()> {
//! let config = Config::load(None, &["instance.run_dir=/run/ami".into()])?;
//! let status = Client::new(&config).command(&Command::Status)?;
//! println!("{} members", status["members"].as_array().map_or(0, Vec::len));
//! let feature = Store::new(&config).get("pump_probe/scan")?;
//! println!("{}", feature.label());
//! # Ok(())
//! # }
//! ```

pub mod array;
pub mod bench;
pub mod cli;
pub mod client;
pub mod commands;
pub mod environment;
pub mod failure;
pub mod feature;
pub mod graph_file;
pub mod meters;
pub mod plot;
pub mod print;
pub mod processes;
pub mod request;
pub mod store;
pub mod supervisor;
pub mod system;
