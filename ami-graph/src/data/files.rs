//! Files named in parameters: arrays (`.npy`) and geometries (`.geom`), by content.
//!
//! A parameter in force reads `PATH#sha256=HEX`; the bytes travel with the graph set under HEX, so
//! that all hosts compute with the same ones.

use crate::data::value::{Array, DType};
use crate::error::Fault;
use std::collections::BTreeMap;
use std::sync::Arc;

/// File contents by hash.
pub type Files = BTreeMap<String, Vec<u8>>;

/// Between a path and the hash of its content.
pub const MARK: &str = "#sha256=";

/// The path and, where the text has one, the hash of the content.
pub fn marked(text: &str) -> (&str, Option<&str>) {
    match text.rsplit_once(MARK) {
        Some((path, hash)) => (path, Some(hash)),
        None => (text, None),
    }
}

/// A file's content.
#[derive(Debug, Clone)]
pub struct Content {
    path: String,
    bytes: Arc<[u8]>,
}

impl Content {
    /// What was read.
    pub fn new(path: &str, bytes: &[u8]) -> Content {
        Content { path: path.to_owned(), bytes: bytes.into() }
    }

    /// A file that is not looked at, since its graph is only checked.
    pub fn unread(path: &str) -> Content {
        Content::new(path, &[])
    }

    /// The path that it was read from.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The text of the file.
    ///
    /// # Errors
    /// When it is not UTF-8; names the parameter.
    pub fn text(&self, parameter: &str) -> Result<&str, Fault> {
        std::str::from_utf8(&self.bytes).map_err(|e| {
            let reason = format!("{:?} is not text: {e}", self.path);
            Fault::of(parameter, reason, "name a text file in UTF-8")
        })
    }

    /// The array in a `.npy` file, in C order.
    ///
    /// # Errors
    /// When it holds no array of numbers; names the parameter.
    pub fn array(&self, parameter: &str) -> Result<Array, Fault> {
        let bad = |reason: String| {
            let reason = format!("{:?} cannot be read: {reason}", self.path);
            Fault::of(parameter, reason, "save an array of numbers by numpy.save")
        };
        let header = Header::read(&self.bytes).ok_or_else(|| bad("it is no .npy file".into()))?;
        if header.fortran && header.shape.len() > 1 {
            return Err(bad("it is in Fortran order; use numpy.ascontiguousarray".into()));
        }
        let dtype = DType::from_numpy(header.described)
            .ok_or_else(|| bad(format!("it holds elements of type {}", header.described)))?;
        // Array::from_bytes takes exactly as many bytes as the shape says.
        Array::from_bytes(dtype, &header.shape, header.data)
            .ok_or_else(|| bad(format!("it is not as long as its shape {:?} says", header.shape)))
    }
}

/// A `.npy` file taken apart (numpy.lib.format, versions 1 to 3). Read here rather than by a
/// library, since those tried panic on a shape whose size overflows.
struct Header<'a> {
    /// The element type, as `<u2`.
    described: &'a str,
    fortran: bool,
    shape: Vec<usize>,
    data: &'a [u8],
}

impl<'a> Header<'a> {
    fn read(bytes: &'a [u8]) -> Option<Header<'a>> {
        let rest = bytes.strip_prefix(b"\x93NUMPY")?;
        let (first, size) = if *rest.first()? == 1 { (10, 2) } else { (12, 4) };
        let digits = bytes.get(8..8 + size)?.iter().rev();
        let length = digits.fold(0, |n: usize, &byte| (n << 8) | usize::from(byte));
        let end = first + length;
        let text = std::str::from_utf8(bytes.get(first..end)?).ok()?;
        let after = |key: &str| text.split_once(key).map(|(_, rest)| rest.trim_start());
        let described = after("'descr':")?.strip_prefix('\'')?.split('\'').next()?;
        let fortran = after("'fortran_order':")?.starts_with("True");
        let inside = after("'shape':")?.strip_prefix('(')?.split(')').next()?;
        let axes = inside.split(',').map(str::trim).filter(|axis| !axis.is_empty());
        let shape = axes.map(|axis| axis.parse().ok()).collect::<Option<Vec<usize>>>()?;
        Some(Header { described, fortran, shape, data: &bytes[end..] })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As numpy.save writes it.
    fn npy(described: &str, order: bool, shape: &str, data: &[u8]) -> Vec<u8> {
        let order = if order { "True" } else { "False" };
        let mut header =
            format!("{{'descr': '{described}', 'fortran_order': {order}, 'shape': {shape}, }}");
        while (10 + header.len() + 1) % 64 != 0 {
            header.push(' ');
        }
        header.push('\n');
        let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
        bytes.extend((header.len() as u16).to_le_bytes());
        bytes.extend(header.as_bytes());
        bytes.extend(data);
        bytes
    }

    #[test]
    fn arrays_come_as_numpy_saved_them() {
        let bytes = npy("<u2", false, "(2, 3)", bytemuck::cast_slice(&[1u16, 2, 3, 4, 5, 6]));
        let array = Content::new("/a.npy", &bytes).array("pedestal").unwrap();
        assert_eq!((array.dtype(), array.shape()), (DType::U16, &[2, 3][..]));
        assert_eq!(array.bytes(), bytemuck::cast_slice::<u16, u8>(&[1, 2, 3, 4, 5, 6]));
        let flags = Content::new("/m.npy", &npy("|b1", false, "(2,)", &[1, 0])).array("mask");
        assert_eq!(flags.unwrap().dtype(), DType::Bool);
    }

    #[test]
    fn what_is_no_array_is_refused_with_its_path() {
        let cases = [
            b"not numpy".to_vec(),
            npy("<f8", true, "(2, 2)", &[0; 32]),
            npy("<c16", false, "(1,)", &[0; 16]),
            npy("<f8", false, "(9,)", &[0; 8]),
            npy("<f8", false, "(4611686018427387904, 4)", &[0; 8]),
        ];
        for bytes in cases {
            let fault = Content::new("/a.npy", &bytes).array("pedestal").unwrap_err();
            assert_eq!(fault.parameter.as_deref(), Some("pedestal"));
            assert!(fault.reason.contains("/a.npy"), "{}", fault.reason);
        }
        assert!(Content::new("/a.geom", &[0xff]).text("geometry").is_err());
    }
}
