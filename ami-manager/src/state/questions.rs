//! Who may ask, and what is no edit: answered at once, or when code that it names has been read.

use super::{Client, Effect, MAX_QUEUE, Request, State};
use crate::commands;
use ami_proto::control::ctl_to_manager::{Command, Refusal};
use ami_proto::security::keys::Role;

/// Whether the client may, and under the name of its key.
pub(super) fn allowed(client: &Client, command: &mut Command) -> Result<(), Refusal> {
    let Some(peer) = &client.peer else {
        let hint = "ask who runs the system for `ami-ctl keys allow NAME ROLE`";
        return Err(commands::refusal("your key is no longer allowed", hint));
    };
    let need = commands::need(command);
    if !peer.role.permits(need) {
        let name = peer.name.as_deref().unwrap_or_default();
        let (role, need) = (peer.role.name(), need.name());
        let error = format!("the key {name:?} has the role {role}; this needs {need}");
        let hint = format!("ask who runs the system for `ami-ctl keys allow {name} {need}`");
        return Err(commands::refusal(error, hint));
    }
    // What a key proves goes before what a client says; the system's own key is nobody's name.
    if let (Some(name), Some(edit)) = (&peer.name, commands::edit_mut(command))
        && peer.role != Role::System
    {
        edit.who.clone_from(name);
    }
    Ok(())
}

impl State {
    /// Answers what is no edit, at once or when code that it names has been read.
    pub(super) fn answer_question(&mut self, now_ns: u64, request: Request, out: &mut Vec<Effect>) {
        let found = self.world.found();
        let document = self.document(now_ns, &request.client, &request.command);
        let Request { client, .. } = &request;
        if !self.world.waits() {
            out.push(Effect::Reply { client: client.clone(), document, edit: false });
        } else if self.unread.len() < MAX_QUEUE {
            self.unread.push((found, request));
        } else {
            let error = format!("the manager is busy: it reads the code of {MAX_QUEUE} graphs");
            let document = commands::document(&commands::refusal(error, "ask again in a moment"));
            out.push(Effect::Reply { client: client.clone(), document, edit: false });
        }
    }

    /// Looks again at questions since which more has become known.
    pub(super) fn look_again(&mut self, now_ns: u64, out: &mut Vec<Effect>) {
        let found = self.world.found();
        for (then, request) in std::mem::take(&mut self.unread) {
            if then == found {
                self.unread.push((then, request));
            } else {
                self.answer_question(now_ns, request, out);
            }
        }
    }
}
