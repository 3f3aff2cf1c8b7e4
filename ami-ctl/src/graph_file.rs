//! Graph files: read, and told where they are wrong, with the line itself.

use crate::failure::Failure;
use crate::named_files;
use ami_graph::error::SpecError;
use ami_graph::graph::spec::{GraphSpec, MAX_TEXT};
use ami_graph::graph::text;
use serde_json::Value;
use std::io::Read;
use std::path::Path;

/// A graph as it stands in a file.
#[derive(Debug, Clone, PartialEq)]
pub struct GraphFile {
    /// Where it came from, for people.
    pub origin: String,
    /// As written, with whole paths: what the manager gets, so that nothing is lost on the way.
    pub json: Value,
    /// As understood.
    pub spec: GraphSpec,
}

impl GraphFile {
    /// Reads a file; `-` is stdin.
    ///
    /// # Errors
    /// When it cannot be read or is not a graph: exit code 2.
    pub fn read(path: &Path) -> Result<GraphFile, Failure> {
        let stdin = path == Path::new("-");
        let origin = if stdin { "standard input".into() } else { path.display().to_string() };
        let unreadable = |e: std::io::Error| {
            Failure::usage(
                format!("graph file {origin}: {e}"),
                "give an existing JSON file, or - for standard input",
            )
        };
        let mut bytes = Vec::new();
        // One byte more than is accepted, so that too much is noticed.
        let limit = MAX_TEXT as u64 + 1;
        if stdin {
            std::io::stdin().take(limit).read_to_end(&mut bytes).map_err(unreadable)?;
        } else {
            let file = std::fs::File::open(path).map_err(unreadable)?;
            file.take(limit).read_to_end(&mut bytes).map_err(unreadable)?;
        }
        let dir = if stdin { None } else { path.parent() };
        GraphFile::parse_bytes(&origin, &bytes)?.located_in(dir.unwrap_or(Path::new("")))
    }

    /// The same with whole paths of the files that it names, which were relative to this directory.
    ///
    /// # Errors
    /// When it is no graph any more, which cannot be.
    pub fn located_in(mut self, dir: &Path) -> Result<GraphFile, Failure> {
        named_files::make_absolute(&mut self.json, dir);
        self.spec = serde_json::from_value(self.json.clone())
            .map_err(|e| Failure::usage(format!("{}: {e}", self.origin), ""))?;
        Ok(self)
    }

    /// From the bytes of a file.
    ///
    /// # Errors
    /// When they are no text or not a graph: exit code 2.
    pub fn parse_bytes(origin: &str, bytes: &[u8]) -> Result<GraphFile, Failure> {
        if bytes.len() > MAX_TEXT {
            // Cut anywhere, perhaps within a character; it is refused for its length.
            return GraphFile::parse(origin, &String::from_utf8_lossy(bytes));
        }
        let refuse = |(reason, hint): (String, _)| {
            Failure::usage(format!("graph file {origin} {reason}"), hint)
        };
        GraphFile::parse(origin, text::utf8(bytes).map_err(refuse)?)
    }

    /// From text.
    ///
    /// # Errors
    /// When it is not a graph: exit code 2.
    pub fn parse(origin: &str, text: &str) -> Result<GraphFile, Failure> {
        if text.len() <= MAX_TEXT {
            // Once for the place: errors of `GraphSpec::parse` have it only as words.
            text::each_key_once(text).map_err(|e| located(origin, text, &e))?;
            serde_json::from_str::<GraphSpec>(text).map_err(|e| located(origin, text, &e))?;
        }
        let spec = GraphSpec::parse(text).map_err(|e| {
            Failure::usage(format!("{origin}: graph {:?}: {}", e.graph, e.reason), e.hint)
        })?;
        let json = serde_json::from_str(text).map_err(|e| located(origin, text, &e))?;
        Ok(GraphFile { origin: origin.into(), json, spec })
    }

    /// What is wrong with it whatever the fields are.
    pub fn check(&self) -> Vec<SpecError> {
        ami_graph::plan::check(&self.spec)
    }

    /// As [`check`](Self::check), as a failure with exit code 2.
    ///
    /// # Errors
    /// When something is wrong.
    pub fn checked(self) -> Result<GraphFile, Failure> {
        let errors: Vec<Value> =
            self.check().iter().filter_map(|e| serde_json::to_value(e).ok()).collect();
        if errors.is_empty() {
            return Ok(self);
        }
        let error = format!("{}: graph {:?} cannot run as written", self.origin, self.spec.name);
        Err(Failure::usage(error, "correct it; `ami-ctl ops OP` shows an operation in full")
            .with(errors))
    }
}

/// File, line, column, and the line itself with a mark under the place.
fn located(origin: &str, text: &str, e: &serde_json::Error) -> Failure {
    let (line, column) = (e.line(), e.column());
    let message = e.to_string();
    let place = format!(" at line {line} column {column}");
    let message = message.strip_suffix(&place).unwrap_or(&message);
    let hint = match e.classify() {
        _ if message.ends_with("is written twice") => text::ONCE,
        serde_json::error::Category::Data => {
            r#"a graph is {"name": …, "nodes": {"NODE": {"op": …, "in": …}}, "publish": [ … ]}"#
        }
        _ => "correct the JSON there",
    };
    let source = text.lines().nth(line.saturating_sub(1)).unwrap_or_default();
    let (shown, mark) = excerpt(source, column);
    let number = line.to_string();
    let gutter = " ".repeat(number.len());
    Failure::usage(
        format!(
            "{origin}:{line}:{column}: {message}\n  {number} | {shown}\n  {gutter} | {}^",
            " ".repeat(mark)
        ),
        hint,
    )
}

/// A line short enough for a terminal, and where in it the byte column (from 1) is.
fn excerpt(source: &str, column: usize) -> (String, usize) {
    const WIDTH: usize = 100;
    let before = column.saturating_sub(1).min(source.len());
    let at = source.char_indices().take_while(|(i, _)| *i < before).count();
    let from = at.saturating_sub(WIDTH / 2);
    let plain = |c: char| if c.is_control() { ' ' } else { c };
    let shown: String = source.chars().skip(from).take(WIDTH).map(plain).collect();
    (shown, at - from)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> String {
        let failure = GraphFile::parse("g.json", text).unwrap_err();
        assert_eq!(failure.code, 2);
        failure.refusal.error
    }

    #[test]
    fn syntax_errors_show_the_place() {
        let text = "{\"name\": \"g\",\n \"nodes\": {\"a\": {\"op\" \"mean\"}}}";
        assert_eq!(
            error(text),
            "g.json:2:23: expected `:`\n  2 |  \"nodes\": {\"a\": {\"op\" \"mean\"}}}\n    |                       ^"
        );
        assert!(error("{").starts_with("g.json:1:1: EOF"));
        assert!(error("").starts_with("g.json:1:0: EOF"));
    }

    #[test]
    fn misspelt_keys_are_placed_too() {
        let message = error("{\"name\": \"g\",\n\"nods\": {}}");
        assert!(message.starts_with("g.json:2:6: unknown field `nods`"), "{message}");
    }

    #[test]
    fn keys_that_are_written_twice_are_placed() {
        let twice = "{\"name\": \"g\", \"nodes\": {\"n\": {\"op\": \"hist\", \"in\": \"x\",\n\"bins\": 5, \"bins\": 6}}}";
        let message = error(twice);
        assert!(message.starts_with("g.json:2:17: \"bins\" is written twice\n"), "{message}");
        let failure = GraphFile::parse("g.json", twice).unwrap_err();
        assert_eq!(failure.refusal.hint, "rename or remove one of the two");
    }

    #[test]
    fn other_encodings_are_named() {
        let json = r#"{"name": "g", "nodes": {"n": {"op": "count", "in": "x"}}}"#;
        let told = |bytes: &[u8]| {
            let failure = GraphFile::parse_bytes("g.json", bytes).unwrap_err();
            assert_eq!(failure.refusal.hint, "save it as UTF-8 without a byte order mark");
            failure.refusal.error
        };
        let marked = [b"\xef\xbb\xbf", json.as_bytes()].concat();
        assert_eq!(told(&marked), "graph file g.json begins with a byte order mark");
        let wide =
            |order: fn(u16) -> [u8; 2]| json.encode_utf16().flat_map(order).collect::<Vec<u8>>();
        let utf16 = "graph file g.json is UTF-16: it begins with a byte order mark";
        assert_eq!(told(&[&[0xff, 0xfe], &wide(u16::to_le_bytes)[..]].concat()), utf16);
        assert_eq!(told(&[&[0xfe, 0xff], &wide(u16::to_be_bytes)[..]].concat()), utf16);
        assert!(told(&wide(u16::to_le_bytes)).contains("is UTF-16: every other byte is zero"));
        assert_eq!(told(b"{\n\"name\": \"\xe4\"}"), "graph file g.json is not UTF-8 in line 2");
        assert!(GraphFile::parse_bytes("g.json", json.as_bytes()).is_ok());
    }

    #[test]
    fn marks_fit_multibyte_and_long_lines() {
        assert_eq!(excerpt("äöü x", 5), ("äöü x".into(), 2));
        let long = format!("{}!{}", "a".repeat(500), "b".repeat(500));
        let (shown, mark) = excerpt(&long, 501);
        assert_eq!(shown.chars().nth(mark), Some('!'));
        assert_eq!(shown.chars().count(), 100);
    }
}
