//! The person's hand: runs, watches and edits an ami system.
//!
//! ```text
//!     source → [shm ring] → worker → collector → store → client
//!                             ▲                    │
//!              **ctl** → manager                   └──→ **ctl**
//! ```
//!
//! [`client::manager::Client`] speaks to the manager, [`client::store::Store`] to the store; the commands, tests and
//! examples are made of these two. One subcommand is one file of [`commands`].
//!
//! ```no_run
//! use ami_ctl::client::manager::Client;
//! use ami_ctl::client::store::Store;
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

pub mod bench;
pub mod cli;
pub mod client;
pub mod commands;
pub mod environment;
pub mod failure;
pub mod graph_file;
pub mod local;
pub mod named_files;
pub mod print;
pub mod show;
