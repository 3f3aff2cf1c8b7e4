//! A chunk read back is what was written, also when events are taken back; damage is an error.

use crate::data_path::chunk::{ChunkView, ChunkWriter, Full, HeapArena, Staging};
use ami_graph::data::batch::Column;
use ami_graph::data::schema::{Field, Held, Kind, Schema};
use ami_graph::data::value::DType;
use std::collections::BTreeMap;

fn field(name: &str, dtype: DType, rank: usize) -> Field {
    Field {
        name: name.into(),
        aliases: vec![],
        dtype,
        rank,
        shape: None,
        kind: Kind::Event,
        labels: BTreeMap::new(),
    }
}

fn schema() -> Schema {
    Schema {
        fields: vec![
            field("e", DType::F64, 0),
            field("n", DType::U16, 0),
            field("img", DType::U16, 2),
            field("s", DType::Str, 0),
            field("a", DType::F32, 1),
            field("b", DType::F32, 1),
            field("ab", DType::F32, 2),
        ],
    }
}

fn write(memory: &mut HeapArena) -> crate::data_path::chunk::Sealed {
    let schema = schema();
    let mut staging = Staging::new(&schema);
    let mut out = ChunkWriter::new(&mut staging, memory, 0, 100, 1 << 20);
    for i in 0..10u64 {
        out.event(100 + i);
        out.scalar(0, i as f64);
        if i % 3 == 0 {
            out.scalar(1, i as u16);
            out.text(3, &format!("event {i}"));
        }
        if i % 2 == 0 {
            out.array(2, &[2, 3]).unwrap().fill(i as u8);
        }
        let bytes = out.arrays(&[4, 5], Some(6), &[3]).unwrap();
        bytemuck::cast_slice_mut::<u8, f32>(bytes).copy_from_slice(&[0., 1., 2., 3., 4., i as f32]);
        if i == 7 {
            out.event(999);
            out.scalar(0, -1.0);
            out.scalar(1, 9u16);
            out.text(3, "never");
            let _ = out.array(2, &[20, 20]);
            out.cancel();
        }
    }
    out.seal(5, 1000).unwrap()
}

fn view<'a>(bytes: &'a &'a [u8], s: &crate::data_path::chunk::Sealed) -> ChunkView<'a> {
    let index = &bytes[s.index as usize..][..s.index_len];
    ChunkView::new(bytes, index).unwrap()
}

#[test]
fn what_was_written_is_read() {
    let mut memory = HeapArena::new(4096 * 8);
    let sealed = write(&mut memory);
    let held = Held::new();
    let bytes: &[u8] = bytemuck::cast_slice(&memory.words);
    let view = view(&bytes, &sealed);
    let batch = view.batch(&schema(), &held, &[]).unwrap();
    assert_eq!(batch.timestamps, (100..110).collect::<Vec<u64>>());
    assert_eq!((batch.host, batch.first_sequence), (5, 1000));
    let Column::Scalars { data, present: None, .. } = &batch.columns[0] else { panic!("e") };
    assert_eq!(bytemuck::cast_slice::<u8, f64>(data)[9], 9.0);
    let Column::Scalars { present: Some(mask), .. } = &batch.columns[1] else { panic!("n") };
    assert_eq!(mask, &[1, 0, 0, 1, 0, 0, 1, 0, 0, 1]);
    let Column::Arrays { items, .. } = &batch.columns[2] else { panic!("img") };
    assert_eq!(items[4].unwrap().data, &[4; 12]);
    assert_eq!(items[8].unwrap().dims.axes(), &[2, 3]);
    assert!(items[5].is_none());
    let Column::Strings(texts) = &batch.columns[3] else { panic!("s") };
    assert_eq!((texts[9], texts[8]), (Some("event 9"), None));
    let Column::Arrays { items, .. } = &batch.columns[6] else { panic!("ab") };
    assert_eq!(items[9].unwrap().dims.axes(), &[2, 3]);
    let Column::Arrays { items: b, .. } = &batch.columns[5] else { panic!("b") };
    assert_eq!(&items[9].unwrap().data[12..], b[9].unwrap().data);
}

#[test]
fn columns_in_bulk_equal_columns_one_by_one() {
    let mut memory = HeapArena::new(4096 * 8);
    let schema = schema();
    let mut staging = Staging::new(&schema);
    let mut out = ChunkWriter::new(&mut staging, &mut memory, 0, 100, 1 << 20);
    for from in [0u64, 7] {
        let times: Vec<u64> = (from..from + 7).collect();
        out.extend(&times);
        out.column::<f64>(0).iter_mut().zip(&times).for_each(|(v, t)| *v = *t as f64);
    }
    assert!(out.column::<f32>(0).is_empty(), "a wrong type gives nothing");
    let sealed = out.seal(0, 0).unwrap();
    let held = Held::new();
    let bytes: &[u8] = bytemuck::cast_slice(&memory.words);
    let batch = view(&bytes, &sealed).batch(&schema, &held, &[]).unwrap();
    let Column::Scalars { data, present: None, .. } = batch.columns[0] else { panic!("e") };
    let expected: Vec<f64> = (0..14).map(f64::from).collect();
    assert_eq!(bytemuck::cast_slice::<u8, f64>(data), expected);
}

#[test]
fn a_full_arena_says_so_and_nothing_is_lost() {
    let mut memory = HeapArena::new(64 * 8);
    let schema = schema();
    let mut staging = Staging::new(&schema);
    let mut out = ChunkWriter::new(&mut staging, &mut memory, 0, 100, 1 << 20);
    out.event(1);
    assert_eq!(out.array(2, &[100, 100]).err(), Some(Full));
    out.cancel();
    assert_eq!(out.room(), 100);
    out.event(2);
    out.scalar(0, 1.0);
    assert_eq!(out.seal(0, 0).unwrap().events, 1);
}

proptest::proptest! {
    #[test]
    fn damage_is_an_error_not_a_crash(at in 0usize..2000, byte: u8) {
        let mut memory = HeapArena::new(4096 * 8);
        let sealed = write(&mut memory);
        let at = sealed.index as usize + at % sealed.index_len;
        bytemuck::cast_slice_mut::<u64, u8>(&mut memory.words)[at] = byte;
        let bytes: &[u8] = bytemuck::cast_slice(&memory.words);
        let index = &bytes[sealed.index as usize..][..sealed.index_len];
        if let Ok(view) = ChunkView::new(&bytes, index) {
            let _ = view.batch(&schema(), &Held::new(), &[]);
        }
    }
}
