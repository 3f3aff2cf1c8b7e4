//! HDF5 files, written: groups, datasets in one piece, attributes. What it writes every library since HDF5 1.8
//! reads.
//!
//! ```text
//! superblock │ data │ header of each dataset │ … │ headers of the groups, the inner ones first │
//! ```
//!
//! Data go out as they come; only headers are in memory. The superblock is written last, so that a file that
//! was cut short is none.

mod encode;

use crate::hdf5::format::checksum::lookup3;
use ami_graph::data::value::DType;
use std::io::{self, Seek, SeekFrom, Write};

/// A group: attributes, and what is in it, by name.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Group {
    /// What is said about it.
    pub attributes: Vec<(String, Attribute)>,
    /// What is in it. Names are not empty and have no `/`.
    pub children: Vec<(String, Child)>,
}

/// Something in a group.
#[derive(Debug, Clone, PartialEq)]
pub enum Child {
    /// A group.
    Group(Group),
    /// A dataset.
    Data(Data),
}

/// A dataset.
#[derive(Debug, Clone, PartialEq)]
pub struct Data {
    /// Its elements; `Str` is one text.
    pub dtype: DType,
    /// Lengths of its axes; none: a scalar.
    pub shape: Vec<usize>,
    /// Little-endian, C order.
    pub bytes: Vec<u8>,
    /// What is said about it.
    pub attributes: Vec<(String, Attribute)>,
}

/// The value of an attribute.
#[derive(Debug, Clone, PartialEq)]
pub enum Attribute {
    /// Text.
    Text(String),
    /// Several texts.
    Texts(Vec<String>),
}

impl From<&str> for Attribute {
    fn from(text: &str) -> Attribute {
        Attribute::Text(text.into())
    }
}

impl Data {
    /// One text.
    pub fn text(text: &str) -> Data {
        let bytes = text.as_bytes().to_vec();
        Data { dtype: DType::Str, shape: Vec::new(), bytes, attributes: Vec::new() }
    }

    /// An array, or with no axes a number.
    pub fn array(dtype: DType, shape: &[usize], bytes: Vec<u8>) -> Data {
        Data { dtype, shape: shape.to_vec(), bytes, attributes: Vec::new() }
    }

    /// With an attribute more.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Attribute>) -> Data {
        self.attributes.push((name.into(), value.into()));
        self
    }
}

impl Group {
    /// A group of a NeXus class.
    pub fn of_class(class: &str) -> Group {
        let mut group = Group::default();
        group.attributes.push(("NX_class".into(), class.into()));
        group
    }

    /// With an attribute more.
    pub fn attribute(&mut self, name: &str, value: impl Into<Attribute>) {
        self.attributes.push((name.into(), value.into()));
    }

    /// With a dataset more.
    pub fn data(&mut self, name: &str, data: Data) {
        self.children.push((name.into(), Child::Data(data)));
    }

    /// With a group more.
    pub fn group(&mut self, name: &str, group: Group) {
        self.children.push((name.into(), Child::Group(group)));
    }
}

/// Writes a file whose root is `root`.
///
/// # Errors
/// When it cannot be written, or a name is longer than the format allows (64 KiB).
pub fn write(root: &Group, out: &mut (impl Write + Seek)) -> io::Result<()> {
    let mut file = File { out, at: 0 };
    file.put(&[0; encode::SUPERBLOCK])?;
    let root = file.group(root)?;
    let superblock = encode::superblock(root, file.at);
    file.out.seek(SeekFrom::Start(0))?;
    file.out.write_all(&superblock)?;
    file.out.flush()
}

struct File<'a, W> {
    out: &'a mut W,
    at: u64,
}

impl<W: Write + Seek> File<'_, W> {
    /// Appends bytes; where they begin, at a multiple of 8.
    fn put(&mut self, bytes: &[u8]) -> io::Result<u64> {
        let pad = (8 - self.at % 8) % 8;
        self.out.write_all(&[0; 8][..pad as usize])?;
        self.out.write_all(bytes)?;
        let at = self.at + pad;
        self.at = at + bytes.len() as u64;
        Ok(at)
    }

    fn group(&mut self, group: &Group) -> io::Result<u64> {
        let mut messages = encode::group_messages();
        for (name, child) in &group.children {
            let header = match child {
                Child::Group(group) => self.group(group)?,
                Child::Data(data) => self.dataset(data)?,
            };
            messages.push((encode::LINK, encode::link(name, header)));
        }
        self.header(messages, &group.attributes)
    }

    fn dataset(&mut self, data: &Data) -> io::Result<u64> {
        // A text of no length is a blank: the format has none.
        let bytes =
            if data.dtype == DType::Str && data.bytes.is_empty() { b" " } else { &data.bytes[..] };
        let at = self.put(bytes)?;
        self.header(encode::data_messages(data, at, bytes.len()), &data.attributes)
    }

    fn header(
        &mut self,
        mut messages: Vec<(u8, Vec<u8>)>,
        attributes: &[(String, Attribute)],
    ) -> io::Result<u64> {
        let heap = encode::heap(attributes);
        let heap = if heap.is_empty() { 0 } else { self.put(&heap)? };
        let encoded = encode::attributes(attributes, heap);
        messages.extend(encoded.into_iter().map(|bytes| (encode::ATTRIBUTE, bytes)));
        let mut body = Vec::new();
        for (kind, bytes) in messages {
            let len = u16::try_from(bytes.len()).map_err(|_| {
                io::Error::new(io::ErrorKind::InvalidInput, "a name of more than 64 KiB")
            })?;
            body.push(kind);
            body.extend(len.to_le_bytes());
            body.push(0);
            body.extend(bytes);
        }
        // The length of the messages in four bytes, no times.
        let mut header = b"OHDR\x02\x02".to_vec();
        header.extend((body.len() as u32).to_le_bytes());
        header.extend(body);
        header.extend(lookup3(&header).to_le_bytes());
        self.put(&header)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hdf5::column::Column;
    use crate::hdf5::files::Files;
    use crate::hdf5::tree::{text, walk};
    use std::rc::Rc;

    #[test]
    fn what_is_written_is_read() {
        let mut root = Group::of_class("NXroot");
        let mut inner = Group::of_class("NXdata");
        inner.attribute("axes", Attribute::Texts(vec!["x".into(), "längs".into()]));
        for dtype in DType::ALL.into_iter().filter(|d| *d != DType::Str) {
            let bytes: Vec<u8> = (0..6 * dtype.size()).map(|i| (i % 2) as u8).collect();
            inner.data(dtype.name(), Data::array(dtype, &[2, 3], bytes).with("units", "mm"));
        }
        inner.data("title", Data::text("a title"));
        inner.data("nothing", Data::text(""));
        inner.data("empty", Data::array(DType::F64, &[0, 3], Vec::new()));
        inner.data("one", Data::array(DType::F64, &[], 1.5f64.to_le_bytes().to_vec()));
        root.group("inner", inner);
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("written.h5");
        write(&root, &mut std::fs::File::create(&path).unwrap()).unwrap();
        let files = Rc::new(Files::default());
        let store = files.open(&path).unwrap();
        let contents = walk(&files, &store).unwrap();
        assert!(contents.broken.is_empty(), "{:?}", contents.broken);
        assert_eq!(text(&contents.groups["/inner"], "NX_class"), Some("NXdata"));
        for entry in contents.datasets {
            let name = entry.path.strip_prefix("/inner/").unwrap().to_owned();
            let mut column = Column::new(entry.dataset).unwrap();
            match name.as_str() {
                "title" => assert_eq!(column.text(0).unwrap(), "a title"),
                "nothing" => assert_eq!(column.text(0).unwrap(), ""),
                "empty" => assert_eq!(column.dataset.shape(), [0, 3]),
                "one" => assert_eq!(column.number(0).unwrap(), 1.5),
                _ => {
                    assert_eq!(column.dtype.name(), name);
                    assert_eq!(text(&column.dataset.attributes, "units"), Some("mm"));
                    let mut bytes = vec![0; 2 * column.row_bytes()];
                    column.numbers(0, 2, &mut bytes).unwrap();
                    assert!(bytes.iter().enumerate().all(|(i, b)| usize::from(*b) == i % 2));
                }
            }
        }
        let long = "x".repeat(70_000);
        root.attribute(&long, "value");
        assert!(write(&root, &mut io::Cursor::new(Vec::new())).is_err());
    }
}
