//! Messages of the control path, one file per arrow, and a member's side of it.

pub mod ctl_to_manager;
pub mod manager_to_members;
pub mod member_to_manager;
pub mod reporter;
