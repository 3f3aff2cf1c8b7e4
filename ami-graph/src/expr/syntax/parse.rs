//! Tokens to nodes, with Python's precedence.

use crate::expr::arithmetic::index::Item;
use crate::expr::arithmetic::operation::{Binary, Comparison};
use crate::expr::error::{ExprError, MAX_DEPTH};
use crate::expr::syntax::ast::{Ast, Id, Kind, Node, Prefix};
use crate::expr::syntax::lex::{Token, tokens};

/// Words that cannot be input names.
const KEYWORDS: &[&str] = &["and", "or", "not", "if", "else", "in", "is", "lambda", "for"];

/// Parses a whole expression.
pub(in crate::expr) fn parse(text: &str) -> Result<Ast, ExprError> {
    let mut parser = Parser { tokens: tokens(text)?, next: 0, depth: 0, ast: Ast::default() };
    let root = parser.ternary()?;
    if parser.peek() != &Token::End {
        return Err(parser.unexpected("an operator or the end"));
    }
    debug_assert_eq!(root + 1, parser.ast.nodes.len());
    Ok(parser.ast)
}

/// Goes through the tokens; the nodes are in [`Ast`] as soon as they are read.
pub(super) struct Parser {
    pub(super) tokens: Vec<(Token, usize)>,
    pub(super) next: usize,
    depth: usize,
    pub(super) ast: Ast,
}

impl Parser {
    fn peek(&self) -> &Token {
        &self.tokens[self.next].0
    }

    fn at(&self) -> usize {
        self.tokens[self.next].1
    }

    pub(super) fn advance(&mut self) {
        // The end stays: it is what is found after everything.
        self.next = (self.next + 1).min(self.tokens.len() - 1);
    }

    pub(super) fn is_sign(&self, sign: &str) -> bool {
        matches!(self.peek(), Token::Sign(s) if *s == sign)
    }

    pub(super) fn is_word(&self, word: &str) -> bool {
        matches!(self.peek(), Token::Word(w) if w == word)
    }

    pub(super) fn accept(&mut self, sign: &str) -> bool {
        let found = self.is_sign(sign);
        if found {
            self.advance();
        }
        found
    }

    fn accept_word(&mut self, word: &str) -> bool {
        let found = self.is_word(word);
        if found {
            self.advance();
        }
        found
    }

    pub(super) fn expect(&mut self, sign: &'static str) -> Result<(), ExprError> {
        if self.accept(sign) { Ok(()) } else { Err(self.unexpected(sign)) }
    }

    fn unexpected(&self, wanted: &str) -> ExprError {
        let before = self.next.checked_sub(1).map(|i| &self.tokens[i].0);
        let (found, hint) = match self.peek() {
            Token::End => ("the expression ends".to_string(), ""),
            Token::Int(v) => (format!("unexpected {v}"), ""),
            Token::Float(v) => (format!("unexpected {v}"), ""),
            Token::Text(v) => (format!("unexpected text {v:?}"), ""),
            Token::Word(v) => (format!("unexpected {v}"), ""),
            Token::Sign("=") => ("unexpected =".to_string(), "write == to compare"),
            Token::Sign(":") => {
                ("unexpected :".to_string(), "give the field a plain name in \"in\" and use that")
            }
            Token::Sign(s @ ("&" | "|")) if before == Some(&Token::Sign(s)) => {
                (format!("unexpected {s}"), "write and / or")
            }
            Token::Sign(s) => (format!("unexpected {s}"), ""),
        };
        ExprError::new(self.at(), format!("{found} where {wanted} should be"), hint)
    }

    pub(super) fn push(&mut self, kind: Kind, at: usize) -> Id {
        self.ast.nodes.push(Node { kind, at });
        self.ast.nodes.len() - 1
    }

    /// Runs a parsing function one level deeper.
    pub(super) fn nested(
        &mut self,
        parse: fn(&mut Parser) -> Result<Id, ExprError>,
    ) -> Result<Id, ExprError> {
        if self.depth == MAX_DEPTH {
            let message = format!("nested deeper than {MAX_DEPTH} levels");
            return Err(ExprError::new(self.at(), message, "split it over several nodes"));
        }
        self.depth += 1;
        let id = parse(self);
        self.depth -= 1;
        id
    }

    pub(super) fn ternary(&mut self) -> Result<Id, ExprError> {
        let start = self.ast.nodes.len();
        let value = self.or()?;
        let at = self.at();
        if !self.accept_word("if") {
            return Ok(value);
        }
        let middle = self.ast.nodes.len();
        let cond = self.or()?;
        if !self.accept_word("else") {
            return Err(self.unexpected("else"));
        }
        // The condition is evaluated first, so its nodes go before those of the value.
        let conditions = self.ast.nodes.len() - middle;
        let values = middle - start;
        let tail: Vec<Node> = self.ast.nodes.drain(middle..).collect();
        let first: Vec<Node> = self.ast.nodes.drain(start..).collect();
        self.append(tail, |id| id - values);
        let then_mark = self.push(Kind::Mark, at);
        self.append(first, |id| id + conditions + 1);
        let else_mark = self.push(Kind::Mark, at);
        let (cond, yes) = (cond - values, value + conditions + 1);
        let no = self.nested(Parser::ternary)?;
        Ok(self.push(Kind::If { cond, then_mark, yes, else_mark, no }, at))
    }

    fn append(&mut self, nodes: Vec<Node>, map: impl Fn(Id) -> Id) {
        self.ast.nodes.extend(nodes.into_iter().map(|mut node| {
            node.kind.relocate(&map);
            node
        }));
    }

    fn or(&mut self) -> Result<Id, ExprError> {
        let mut left = self.and()?;
        loop {
            let at = self.at();
            if !self.accept_word("or") {
                return Ok(left);
            }
            let mark = self.push(Kind::Mark, at);
            let right = self.and()?;
            left = self.push(Kind::Junction { and: false, left, mark, right }, at);
        }
    }

    fn and(&mut self) -> Result<Id, ExprError> {
        let mut left = self.not()?;
        loop {
            let at = self.at();
            if !self.accept_word("and") {
                return Ok(left);
            }
            let mark = self.push(Kind::Mark, at);
            let right = self.not()?;
            left = self.push(Kind::Junction { and: true, left, mark, right }, at);
        }
    }

    fn not(&mut self) -> Result<Id, ExprError> {
        let at = self.at();
        if self.accept_word("not") {
            let value = self.nested(Parser::not)?;
            return Ok(self.push(Kind::Not(value), at));
        }
        self.comparison()
    }

    /// `a < b < c` means `a < b and b < c` with b evaluated once.
    fn comparison(&mut self) -> Result<Id, ExprError> {
        let mut left = self.binary(0)?;
        let mut chain: Option<Id> = None;
        loop {
            let at = self.at();
            let Some(comparison) = self.compare_sign() else { break };
            self.advance();
            let mark = chain.map(|_| self.push(Kind::Mark, at));
            let right = self.binary(0)?;
            let holds = self.push(Kind::Binary(Binary::Compare(comparison), left, right), at);
            chain = Some(match (chain, mark) {
                (Some(left), Some(mark)) => {
                    self.push(Kind::Junction { and: true, left, mark, right: holds }, at)
                }
                _ => holds,
            });
            left = right;
        }
        Ok(chain.unwrap_or(left))
    }

    fn compare_sign(&self) -> Option<Comparison> {
        let Token::Sign(sign) = self.peek() else { return None };
        Some(match *sign {
            "<" => Comparison::Lt,
            "<=" => Comparison::Le,
            ">" => Comparison::Gt,
            ">=" => Comparison::Ge,
            "==" => Comparison::Eq,
            "!=" => Comparison::Ne,
            _ => return None,
        })
    }

    fn binary_sign(&self) -> Option<(Binary, usize)> {
        let Token::Sign(sign) = self.peek() else { return None };
        Some(match *sign {
            "|" => (Binary::BitOr, 0),
            "^" => (Binary::BitXor, 1),
            "&" => (Binary::BitAnd, 2),
            "+" => (Binary::Add, 3),
            "-" => (Binary::Sub, 3),
            "*" => (Binary::Mul, 4),
            "/" => (Binary::Div, 4),
            "//" => (Binary::FloorDiv, 4),
            "%" => (Binary::Mod, 4),
            _ => return None,
        })
    }

    /// Operators that bind at least as strongly as `level`; recursion is bounded by the levels.
    fn binary(&mut self, level: usize) -> Result<Id, ExprError> {
        let mut left = self.prefix()?;
        while let Some((operator, strength)) = self.binary_sign() {
            if strength < level {
                break;
            }
            let at = self.at();
            self.advance();
            let right = self.binary(strength + 1)?;
            left = self.push(Kind::Binary(operator, left, right), at);
        }
        Ok(left)
    }

    fn prefix(&mut self) -> Result<Id, ExprError> {
        let prefix = match self.peek() {
            Token::Sign("-") => Prefix::Minus,
            Token::Sign("+") => Prefix::Plus,
            Token::Sign("~") => Prefix::Invert,
            _ => return self.power(),
        };
        let at = self.at();
        self.advance();
        let value = self.nested(Parser::prefix)?;
        Ok(self.push(Kind::Prefix(prefix, value), at))
    }

    fn power(&mut self) -> Result<Id, ExprError> {
        let base = self.postfix()?;
        let at = self.at();
        if !self.accept("**") {
            return Ok(base);
        }
        let exponent = self.nested(Parser::prefix)?;
        Ok(self.push(Kind::Binary(Binary::Pow, base, exponent), at))
    }

    fn postfix(&mut self) -> Result<Id, ExprError> {
        let mut value = self.atom()?;
        while self.is_sign("[") {
            let at = self.at();
            self.advance();
            let mut items = vec![self.item()?];
            while self.accept(",") {
                if !self.is_sign("]") {
                    items.push(self.item()?);
                }
            }
            self.expect("]")?;
            value = self.push(Kind::Index(value, items), at);
        }
        Ok(value)
    }

    fn item(&mut self) -> Result<Item<Id>, ExprError> {
        if self.accept("...") {
            return Ok(Item::Ellipsis);
        }
        if self.accept_word("None") {
            return Ok(Item::NewAxis);
        }
        let start = self.bound()?;
        if !self.accept(":") {
            return start.map(Item::At).ok_or_else(|| self.unexpected("an index"));
        }
        let stop = self.bound()?;
        let step = if self.accept(":") { self.bound()? } else { None };
        Ok(Item::Slice(start, stop, step))
    }

    fn bound(&mut self) -> Result<Option<Id>, ExprError> {
        if [":", ",", "]"].iter().any(|s| self.is_sign(s)) {
            return Ok(None);
        }
        self.nested(Parser::ternary).map(Some)
    }

    fn atom(&mut self) -> Result<Id, ExprError> {
        let at = self.at();
        let kind = match self.peek().clone() {
            Token::Int(v) => Kind::Int(v),
            Token::Float(v) => Kind::Float(v),
            Token::Text(v) => Kind::Text(v),
            Token::Word(word) => return self.word(&word),
            Token::Sign("(") => {
                self.advance();
                let value = self.nested(Parser::ternary)?;
                self.expect(")")?;
                return Ok(value);
            }
            Token::Sign(_) | Token::End => return Err(self.unexpected("a value")),
        };
        self.advance();
        Ok(self.push(kind, at))
    }

    fn word(&mut self, word: &str) -> Result<Id, ExprError> {
        let at = self.at();
        if KEYWORDS.contains(&word) {
            return Err(self.unexpected("a value"));
        }
        self.advance();
        if self.is_sign("(") {
            return self.call(word, at);
        }
        let kind = match word {
            "True" => Kind::Bool(true),
            "False" => Kind::Bool(false),
            "None" => Kind::Nothing,
            "pi" => Kind::Float(std::f64::consts::PI),
            "e" => Kind::Float(std::f64::consts::E),
            _ => Kind::Name(self.name(word)),
        };
        Ok(self.push(kind, at))
    }

    fn name(&mut self, word: &str) -> usize {
        let known = self.ast.names.iter().position(|n| n == word);
        known.unwrap_or_else(|| {
            self.ast.names.push(word.to_string());
            self.ast.names.len() - 1
        })
    }
}
