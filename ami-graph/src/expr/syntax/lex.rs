//! Text to tokens, each with the column it starts in.

use crate::expr::error::{ExprError, MAX_TEXT};
use crate::expr::syntax::dotted;

/// One token.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::expr) enum Token {
    Int(i128),
    Float(f64),
    Text(String),
    /// A name or a keyword.
    Word(String),
    /// An operator or a bracket.
    Sign(&'static str),
    End,
}

/// Operators and brackets, longer ones before their beginnings.
const SIGNS: &[&str] = &[
    "...", "**", "//", "<=", ">=", "==", "!=", "+", "-", "*", "/", "%", "<", ">", "(", ")", "[",
    "]", ",", ":", "&", "|", "^", "~", "=",
];

/// All tokens with their columns; the last is [`Token::End`].
pub(in crate::expr) fn tokens(text: &str) -> Result<Vec<(Token, usize)>, ExprError> {
    if text.len() > MAX_TEXT {
        let message = format!("the expression is {} bytes long", text.len());
        return Err(ExprError::new(1, message, format!("at most {MAX_TEXT} bytes are accepted")));
    }
    let mut lexer = Lexer { chars: text.chars().collect(), next: 0 };
    let mut tokens = Vec::new();
    loop {
        while lexer.peek(0).is_some_and(char::is_whitespace) {
            lexer.next += 1;
        }
        let column = lexer.next + 1;
        let token = lexer.token()?;
        let end = token == Token::End;
        tokens.push((token, column));
        if end {
            return Ok(tokens);
        }
    }
}

struct Lexer {
    chars: Vec<char>,
    next: usize,
}

impl Lexer {
    fn peek(&self, ahead: usize) -> Option<char> {
        self.chars.get(self.next + ahead).copied()
    }

    fn token(&mut self) -> Result<Token, ExprError> {
        let Some(c) = self.peek(0) else { return Ok(Token::End) };
        if c.is_ascii_alphabetic() || c == '_' {
            return Ok(Token::Word(self.take_while(|c| c.is_ascii_alphanumeric() || c == '_')));
        }
        let digit = |c: Option<char>| c.is_some_and(|c| c.is_ascii_digit());
        if digit(Some(c)) || (c == '.' && digit(self.peek(1))) {
            return self.number();
        }
        if c == '"' || c == '\'' {
            return self.text(c);
        }
        for sign in SIGNS {
            if sign.chars().enumerate().all(|(i, s)| self.peek(i) == Some(s)) {
                self.next += sign.len();
                return Ok(Token::Sign(sign));
            }
        }
        if c == '.'
            && let Some(mistake) = dotted::mistake(&self.chars, self.next)
        {
            return Err(mistake);
        }
        let hint = match c {
            '!' => "write not x, or x != y",
            '\\' | ';' | '#' => "an expression is one line without comments",
            '{' | '}' => "use round brackets",
            '.' => "a name has no dots here: give the input a plain name in \"in\"",
            _ => "",
        };
        Err(ExprError::new(self.next + 1, format!("unexpected character {c:?}"), hint))
    }

    fn take_while(&mut self, accept: impl Fn(char) -> bool) -> String {
        let start = self.next;
        while self.peek(0).is_some_and(&accept) {
            self.next += 1;
        }
        self.chars[start..self.next].iter().collect()
    }

    fn number(&mut self) -> Result<Token, ExprError> {
        let start = self.next;
        let radix = match (self.peek(0), self.peek(1)) {
            (Some('0'), Some('x' | 'X')) => 16,
            (Some('0'), Some('o' | 'O')) => 8,
            (Some('0'), Some('b' | 'B')) => 2,
            _ => 10,
        };
        let token = if radix == 10 { self.decimal() } else { self.with_radix(radix) };
        let glued = self.peek(0).is_some_and(|c| c.is_ascii_alphanumeric() || c == '_');
        token.filter(|_| !glued).ok_or_else(|| {
            let rest = self.take_while(|c| c.is_ascii_alphanumeric() || c == '_');
            let start_text: String = self.chars[start..self.next - rest.len()].iter().collect();
            let message = format!("{start_text}{rest} is not a number");
            ExprError::new(start + 1, message, "numbers look like 12, 0.5, 1e-3 or 0xff")
        })
    }

    fn with_radix(&mut self, radix: u32) -> Option<Token> {
        self.next += 2;
        let digits = self.take_while(|c| c.is_digit(radix) || c == '_').replace('_', "");
        i128::from_str_radix(&digits, radix).ok().map(Token::Int)
    }

    fn decimal(&mut self) -> Option<Token> {
        let digits = |c: char| c.is_ascii_digit() || c == '_';
        let mut text = self.take_while(digits);
        let mut float = false;
        // Not the first dot of `a[0...]`: an ellipsis cannot follow a number, but say so there.
        if self.peek(0) == Some('.') {
            self.next += 1;
            float = true;
            text.push('.');
            text.push_str(&self.take_while(digits));
        }
        let sign = usize::from(matches!(self.peek(1), Some('+' | '-')));
        let exponent = self.peek(1 + sign).is_some_and(|c| c.is_ascii_digit());
        if matches!(self.peek(0), Some('e' | 'E')) && exponent {
            float = true;
            text.extend(&self.chars[self.next..=self.next + sign]);
            self.next += 1 + sign;
            text.push_str(&self.take_while(digits));
        }
        let text = text.replace('_', "");
        if float {
            return text.parse().ok().map(Token::Float);
        }
        let octal_of_c = text.len() > 1 && text.starts_with('0') && text.bytes().any(|b| b != b'0');
        text.parse().ok().filter(|_| !octal_of_c).map(Token::Int)
    }

    fn text(&mut self, quote: char) -> Result<Token, ExprError> {
        let start = self.next + 1;
        self.next += 1;
        let mut text = String::new();
        while let Some(c) = self.peek(0) {
            self.next += 1;
            if c == quote {
                return Ok(Token::Text(text));
            }
            if c != '\\' {
                text.push(c);
                continue;
            }
            let escaped = self.peek(0);
            self.next += 1;
            text.push(match escaped {
                Some(c @ ('\\' | '"' | '\'')) => c,
                Some('n') => '\n',
                Some('t') => '\t',
                _ => {
                    let hint = "known are \\\\ \\' \\\" \\n \\t";
                    return Err(ExprError::new(self.next - 1, "unknown escape in text", hint));
                }
            });
        }
        Err(ExprError::new(start, "text without an end", format!("close it with {quote}")))
    }
}
