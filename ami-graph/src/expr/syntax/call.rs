//! Function calls: the arguments, an axis among them, and inputs that need not be there.

use crate::expr::error::ExprError;
use crate::expr::syntax::advice::instead;
use crate::expr::syntax::ast::{Id, Kind};
use crate::expr::syntax::functions::{self, Function, Meaning};
use crate::expr::syntax::lex::Token;
use crate::expr::syntax::parse::Parser;

impl Parser {
    /// What follows a function's name.
    pub(super) fn call(&mut self, name: &str, at: usize) -> Result<Id, ExprError> {
        let Some(function) = functions::find(name) else {
            return Err(ExprError::new(at, format!("unknown function {name}"), instead(name)));
        };
        let (mut args, mut axis) = self.arguments(function)?;
        let (least, most) = function.args;
        let last_is_axis = function.meaning.takes_axis() && function.name != "diff";
        if last_is_axis && axis.is_none() && args.len() == most + 1 {
            axis = args.pop();
        }
        if args.len() < least || args.len() > most {
            let message = format!("{} does not take {} arguments", function.name, args.len());
            return Err(ExprError::new(at, message, format!("write {}", function.usage)));
        }
        if matches!(function.meaning, Meaning::Present | Meaning::Default) {
            self.make_optional(function, args[0])?;
        }
        Ok(self.push(Kind::Call { function, args, axis }, at))
    }

    fn arguments(&mut self, function: &Function) -> Result<(Vec<Id>, Option<Id>), ExprError> {
        self.expect("(")?;
        let (mut args, mut axis) = (Vec::new(), None);
        while !self.is_sign(")") {
            let keyword = matches!(self.tokens.get(self.next + 1), Some((Token::Sign("="), _)));
            if keyword && self.is_word("axis") && function.meaning.takes_axis() && axis.is_none() {
                self.advance();
                self.advance();
                axis = Some(self.nested(Parser::ternary)?);
            } else {
                args.push(self.nested(Parser::ternary)?);
            }
            if !self.accept(",") {
                break;
            }
        }
        self.expect(")")?;
        Ok((args, axis))
    }

    /// This mention of an input does not ask for it to be there.
    fn make_optional(&mut self, function: &Function, arg: Id) -> Result<(), ExprError> {
        let node = &mut self.ast.nodes[arg];
        let Kind::Name(name) = node.kind else {
            let message = format!("{} is asked of something computed", function.name);
            let hint = "give it the name of an input; compute what may be absent in a node before";
            return Err(ExprError::new(node.at, message, hint));
        };
        node.kind = Kind::Optional(name);
        Ok(())
    }
}
