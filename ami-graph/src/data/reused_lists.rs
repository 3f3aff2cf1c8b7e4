//! Lists whose memory is kept: their entries borrow from one batch, their memory serves the next.

use crate::data::batch::{ArrayRef, Batch, Column};
use smallvec::SmallVec;

/// A list with an entry per input of a node, or per output: few have more than it holds itself.
pub type Few<T> = SmallVec<[T; 6]>;

/// One array per event.
type Arrays<'a> = Vec<Option<ArrayRef<'a>>>;
/// One text per event.
type Texts<'a> = Vec<Option<&'a str>>;

/// Memory for the lists of batches and columns.
#[derive(Debug, Default)]
pub struct Lists {
    columns: Vec<Column<'static>>,
    arrays: Vec<Arrays<'static>>,
    texts: Vec<Texts<'static>>,
}

/// The list without its entries, for entries that borrow from something else. Collecting in place
/// keeps the memory, since both kinds of entries are alike but for what they borrow from.
fn emptied<A, B>(list: Vec<A>) -> Vec<B> {
    list.into_iter().filter_map(|_| None).collect()
}

impl Lists {
    /// An empty list of columns.
    pub fn columns<'a>(&mut self) -> Vec<Column<'a>> {
        std::mem::take(&mut self.columns)
    }

    /// An empty list of arrays.
    pub fn arrays<'a>(&mut self) -> Vec<Option<ArrayRef<'a>>> {
        self.arrays.pop().unwrap_or_default()
    }

    /// An empty list of texts.
    pub fn texts<'a>(&mut self) -> Vec<Option<&'a str>> {
        self.texts.pop().unwrap_or_default()
    }

    /// Takes a batch back.
    pub fn put_batch(&mut self, batch: Batch<'_>) {
        let mut columns = batch.columns;
        columns.drain(..).for_each(|column| self.put_column(column));
        self.columns = emptied(columns);
    }

    /// Takes a column back.
    pub fn put_column(&mut self, column: Column<'_>) {
        match column {
            Column::Arrays { items, .. } => self.arrays.push(emptied(items)),
            Column::Strings(texts) => self.texts.push(emptied(texts)),
            Column::Absent | Column::Constant(_) | Column::Scalars { .. } => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::batch::Dims;
    use crate::data::value::DType;

    #[test]
    fn memory_is_kept() {
        let mut lists = Lists::default();
        let bytes = vec![0u8; 8];
        let mut items = lists.arrays();
        items.resize(100, Dims::new(&[8]).map(|dims| ArrayRef { dims, data: &bytes }));
        let (items_at, items_hold) = (items.as_ptr() as usize, items.capacity());
        let mut columns = lists.columns();
        columns.push(Column::Arrays { dtype: DType::U8, items });
        let (columns_at, columns_hold) = (columns.as_ptr() as usize, columns.capacity());
        lists.put_batch(Batch {
            host: 0,
            belonging: Default::default(),
            first_sequence: 0,
            timestamps: &[],
            columns,
        });
        drop(bytes);
        let again = lists.arrays();
        assert_eq!((again.as_ptr() as usize, again.capacity()), (items_at, items_hold));
        let again = lists.columns();
        assert_eq!((again.as_ptr() as usize, again.capacity()), (columns_at, columns_hold));
        assert!(again.is_empty());
    }
}
