//! Per-event code: what goes in and comes out.

use crate::common::{Bench, code, counting, floats, scalar, some, typed};
use ami_graph::data::batch::{ArrayRef, Column, Dims};
use ami_graph::data::types::Type;
use ami_graph::data::value::{Array, DType, Scalar, Value};
use ami_graph::op::foreign::Foreign;
use ami_shm::{RingConfig, RingReader, RingWriter};
use std::sync::Arc;

#[test]
fn scalars_event_by_event_and_in_batches() {
    let Some(bench) = Bench::new() else { return };
    let source = "
@per_event(outputs={'y': 'f8'})
def one(x): return 2 * x
class Many(PerEvent):
    outputs = {'y': 'f8'}
    def batch(self, x): return 2 * x
";
    let input = counting(1000);
    let doubled: Vec<f64> = input.iter().map(|x| 2.0 * x).collect();
    for name in ["one", "Many"] {
        let code = code(source, name);
        for _ in 0..3 {
            let given = bench.events(&code, &[floats(&input)], 1000);
            assert_eq!((given.message(), given.errors.count), ("", 0));
            assert_eq!(given.numbers(0), some(&doubled));
        }
    }
    let counts = bench.python.counts();
    assert_eq!((counts.starts, counts.deaths, counts.failures), (1, 0, 0));
}

#[test]
fn what_is_absent_is_not_given_and_none_is_absent() {
    let Some(bench) = Bench::new() else { return };
    let code =
        code("@per_event(outputs={'y': 'f8'})\ndef f(x): return None if x == 2 else x\n", "f");
    let input = counting(5);
    let present = [1, 0, 1, 1, 1];
    let column = Column::Scalars {
        dtype: DType::F64,
        data: bytemuck::cast_slice(&input),
        present: Some(&present),
    };
    let given = bench.some_events(&code, &[column], 5, Some(&[1, 0, 1, 1, 0]));
    assert_eq!(given.numbers(0), [Some(0.0), None, None, Some(3.0), None]);
    assert_eq!(given.errors.count, 0);
    let given = bench.some_events(&code, &[Column::Absent], 2, Some(&[0, 0]));
    assert_eq!(given.numbers(0), [None, None]);
}

#[test]
fn every_type_there_and_back() {
    let Some(bench) = Bench::new() else { return };
    for dtype in DType::ALL.into_iter().filter(|d| *d != DType::Str) {
        let numpy = dtype.numpy().trim_start_matches(['<', '|']).replace("b1", "?");
        let source = format!(
            "@per_event(outputs={{'y': '{numpy}', 'a': '{numpy}[:]'}})\ndef f(x): return x, np.array([x, x])\n"
        );
        let code = typed(&source, "f", &[Type::scalar(dtype), Type::array(dtype, 1)]);
        let values = [0.0, 1.0].map(|x| Scalar::from_f64(dtype, x).unwrap());
        let mut column = ami_graph::data::owned_column::OwnedColumn::new();
        column.start_pushed_scalars(dtype);
        values.iter().for_each(|value| column.push_scalar(*value));
        let given = bench.events(&code, &[column.view()], 2);
        assert_eq!(given.message(), "", "{dtype}");
        assert_eq!(given.values(0), values.map(|v| Some(Value::Scalar(v))), "{dtype}");
        let Some(Value::Array(array)) = &given.values(1)[1] else { panic!("{dtype}") };
        assert_eq!((array.dtype(), array.shape()), (dtype, &[2][..]));
    }
}

#[test]
fn arrays_of_one_shape_and_of_many() {
    let Some(bench) = Bench::new() else { return };
    let source = "
@per_event(outputs={'profile': 'f8[:]', 'total': 'f8', 'same': 'u2[:, :]'})
def f(image):
    return image.sum(axis=0, dtype='f8'), image.sum(dtype='f8'), image
";
    let types = [Type::array(DType::F64, 1), Type::scalar(DType::F64), Type::array(DType::U16, 2)];
    let code = typed(source, "f", &types);
    let pixels: Vec<u64> = (0..1000u64).map(|i| i * 0x0001_0001_0001_0001).collect();
    let bytes: &[u8] = bytemuck::cast_slice(&pixels);
    let item = |at: usize, shape: &[usize]| {
        let dims = Dims::new(shape).unwrap();
        Some(ArrayRef { dims, data: &bytes[8 * at..8 * at + 2 * shape.iter().product::<usize>()] })
    };
    let same: Vec<_> = (0..5).map(|i| item(i * 8, &[4, 8])).collect();
    let other = vec![item(0, &[2, 2]), None, item(7, &[3, 4]), item(0, &[0, 5]), item(9, &[1, 1])];
    for (items, mask) in [(same, None), (other, Some(&[1, 0, 1, 1, 1][..]))] {
        let given = bench.some_events(
            &code,
            &[Column::Arrays { dtype: DType::U16, items: items.clone() }],
            5,
            mask,
        );
        assert_eq!(given.message(), "");
        for (event, item) in items.iter().enumerate() {
            let expected = item.map(|item| {
                let shape: Vec<usize> = item.dims.axes().iter().map(|&n| n as usize).collect();
                Value::Array(Array::from_bytes(DType::U16, &shape, item.data).unwrap())
            });
            assert_eq!(given.values(2)[event], expected, "event {event}");
            let sum = item.map(|item| {
                item.data.chunks(2).map(|x| f64::from(u16::from_le_bytes([x[0], x[1]]))).sum()
            });
            assert_eq!(given.numbers(1)[event], sum, "event {event}");
        }
    }
}

#[test]
fn texts_and_held_values() {
    let Some(bench) = Bench::new() else { return };
    let source = "
@per_event(outputs={'text': 'str', 'n': 'f8'})
def f(text, held, gain, name):
    return None if text == '' else f'{text} {name} µ', held * gain[1]
";
    let types = [Type::scalar(DType::Str), Type::scalar(DType::F64)];
    let code = typed(source, "f", &types);
    let held = Value::Scalar(Scalar::F64(2.0));
    let gain = Array::from_bytes(DType::F64, &[2], bytemuck::cast_slice(&[0.0, 4.0])).unwrap();
    let (gain, name) = (Value::Array(gain), Value::Str("név".into()));
    let columns = [
        Column::Strings(vec![Some("on"), Some(""), Some("ä\0ö")]),
        Column::Constant(&held),
        Column::Constant(&gain),
        Column::Constant(&name),
    ];
    let given = bench.events(&code, &columns, 3);
    assert_eq!(given.message(), "");
    let text = |text: &str| Some(Value::Str(text.into()));
    assert_eq!(given.values(0), [text("on név µ"), None, text("ä\0ö név µ")]);
    assert_eq!(given.numbers(1), some(&[8.0; 3]));
}

#[test]
fn fields_in_the_ring_are_not_copied_and_cannot_be_written() {
    let Some(bench) = Bench::new() else { return };
    let path = bench.dir.path().join("ring");
    let config = RingConfig { capacity: 1 << 20, ..RingConfig::default() };
    let mut writer = RingWriter::create(&path, 1, &config).unwrap();
    let position = writer.reserve(4 * 4096).unwrap();
    let image: Vec<u8> = (0..4 * 4096u32).map(|i| (i % 251) as u8).collect();
    writer.bytes_mut(position, 4 * 4096).copy_from_slice(&image);
    writer.publish();
    let reader = RingReader::open(&path).unwrap();
    let (file, addresses) = reader.mapped();
    // Another ring with the same name does not confuse anybody.
    std::fs::rename(&path, bench.dir.path().join("old")).unwrap();
    bench.python.set_ring(file, addresses);
    let bytes = reader.bytes(position, 4 * 4096).unwrap();
    let source = "
import mmap
class Many(PerEvent):
    outputs = {'total': 'f8', 'where': 'str'}
    def batch(self, image, x):
        base = image
        while isinstance(base, np.ndarray): base = base.base
        whole = len(getattr(base, 'obj', base))
        try:
            image[0, 0] = 1
            wrote = 'written'
        except ValueError:
            wrote = 'refused'
        return image.sum(axis=(1, 2), dtype='f8'), [f'{whole} {wrote} {image.shape}'] * len(image)
";
    let code = typed(source, "Many", &[Type::scalar(DType::F64), Type::scalar(DType::Str)]);
    let dims = Dims::new(&[64, 64]).unwrap();
    let items: Vec<_> = bytes.chunks(4096).map(|data| Some(ArrayRef { dims, data })).collect();
    let x = counting(4);
    let given = bench.events(&code, &[Column::Arrays { dtype: DType::U8, items }, floats(&x)], 4);
    assert_eq!(given.message(), "");
    let sums: Vec<f64> =
        image.chunks(4096).map(|c| c.iter().map(|&x| f64::from(x)).sum()).collect();
    assert_eq!(given.numbers(0), some(&sums));
    let Some(Value::Str(told)) = &given.values(1)[0] else { panic!() };
    let length = std::fs::metadata(bench.dir.path().join("old")).unwrap().len();
    assert_eq!(told, &format!("{length} refused (4, 64, 64)"));
    // Where the file cannot be opened, fields are copied.
    bench.python.set_ring("/nonexistent".into(), reader.mapped().1);
    let items: Vec<_> = bytes.chunks(4096).map(|data| Some(ArrayRef { dims, data })).collect();
    let given = bench.events(&code, &[Column::Arrays { dtype: DType::U8, items }, floats(&x)], 4);
    assert_eq!((given.message(), given.numbers(0)), ("", some(&sums)));
}

#[test]
fn inputs_cannot_be_written() {
    let Some(bench) = Bench::new() else { return };
    let source = "
@per_event(outputs={'y': 'f8'})
def f(a):
    a[0] = 7
    return a[0]
@per_event(outputs={'y': 'f8'})
def g(a):
    a.flags.writeable = True
    a[0] = 7
    return a[0]
";
    let values = [1.0, 2.0];
    for name in ["f", "g"] {
        let dims = Dims::new(&[2]).unwrap();
        let item = ArrayRef { dims, data: bytemuck::cast_slice(&values) };
        let column = Column::Arrays { dtype: DType::F64, items: vec![Some(item); 2] };
        let given = bench.events(&code(source, name), &[column], 2);
        assert_eq!((given.errors.count, given.numbers(0)), (2, vec![None, None]));
        assert!(given.message().starts_with("ValueError"), "{}", given.message());
    }
}

#[test]
fn parameters_context_and_descriptions() {
    let Some(bench) = Bench::new() else { return };
    let source = "
class Kept(PerEvent):
    '''Says where it is.'''
    outputs = {'y': 'f8'}
    split_dependent = True
    def __init__(self, *, gain=1.0): self.gain, self.run = gain, 0
    def begin_run(self, run): self.run = run
    def event(self, x): return self.gain * x + self.run
";
    let mut with = crate::common::plain(source, "Kept", &[Type::scalar(DType::F64)]);
    with.params.insert("gain".into(), 10.0.into());
    let code = Arc::new(with);
    bench.python.set_context(&ami_python::Context { run: 1000, ..Default::default() });
    let given = bench.events(&code, &[floats(&[1.0, 2.0])], 2);
    assert_eq!((given.message(), given.numbers(0)), ("", some(&[1010.0, 1020.0])));
    let described = bench.python.describe("default", "hits.py", &code.source, None).unwrap();
    let node = &described["nodes"]["Kept"];
    assert_eq!((&node["kind"], &node["inputs"][0]), (&"per_event".into(), &"x".into()));
    let error = bench.python.describe("default", "hits.py", "x = (", None).unwrap_err();
    assert!(error.starts_with("SyntaxError") && error.contains("hits.py:1"), "{error}");
    let error = bench.python.describe("psana", "hits.py", "", None).unwrap_err();
    assert!(error.contains("python.envs"), "{error}");
}

#[test]
fn code_that_cannot_run_is_refused_when_it_is_loaded() {
    let Some(bench) = Bench::new() else { return };
    let error = bench.python.load(&code("raise KeyError('no key')", "f"), &[], "").unwrap_err();
    assert!(error.starts_with("KeyError: 'no key' (hits.py:4)"), "{error}");
    let error = bench.python.load(&code("os._exit(9)", "f"), &[], "").unwrap_err();
    assert_eq!(error, "exited with code 9");
    let error = bench.python.load(&code("", "f"), &[], "").unwrap_err();
    assert!(error.contains("'f'"), "{error}");
    let settings = ami_python::Settings {
        enabled: true,
        envs: [
            ("default".to_owned(), "false".into()),
            ("none".to_owned(), "/nonexistent/python".into()),
        ]
        .into(),
        ..Default::default()
    };
    let python = ami_python::Python::new(settings, bench.dir.path(), "w");
    let error = python.load(&code("", "f"), &[], "").unwrap_err();
    assert!(
        error.contains("environment default (false): exited with code 1 while starting"),
        "{error}"
    );
    let error = python.describe("none", "hits.py", "", None).unwrap_err();
    assert!(error.contains("/nonexistent/python"), "{error}");
}

#[test]
fn what_does_not_fit_is_a_failure_of_its_event() {
    let Some(bench) = Bench::new() else { return };
    let source = "
@per_event(outputs={'y': 'f8'})
def kind(x): return 'text' if x == 1 else x
@per_event(outputs={'y': 'f8[2, 3]'})
def shape(x): return np.zeros((3, 2) if x == 1 else (2, 3))
";
    let input = counting(3);
    let given = bench.events(&code(source, "kind"), &[floats(&input)], 3);
    assert_eq!(given.values(0), [scalar(0.0), None, scalar(2.0)]);
    assert_eq!(given.errors.count, 1);
    assert!(given.message().contains("declared f8, got str"), "{}", given.message());
    let code = typed(source, "shape", &[Type::shaped(DType::F64, &[2, 3])]);
    let given = bench.events(&code, &[floats(&input)], 3);
    assert_eq!(given.errors.count, 1);
    assert!(given.values(0)[1].is_none() && given.values(0)[2].is_some());
}

#[test]
fn what_code_keeps_for_itself_goes_on_with_its_place_and_only_there() {
    let Some(bench) = Bench::new() else { return };
    let source = "
class Counting(PerEvent):
    outputs = {'y': 'f8'}
    split_dependent = True
    def __init__(self): self.n = 0
    def event(self, x):
        self.n += 1
        return self.n
";
    let input = counting(2);
    let count = |code: &Arc<_>| bench.events(code, &[floats(&input)], 2).numbers(0);
    let version = |place: &str| {
        let code = code(source, "Counting");
        bench.python.load(&code, &[], place).unwrap();
        code
    };
    let first = version("g/n 1");
    assert_eq!(count(&first), some(&[1.0, 2.0]));
    let second = version("g/n 1");
    assert_eq!(count(&second), some(&[3.0, 4.0]), "the next version of the same node");
    drop(first);
    bench.python.tidy();
    assert_eq!(count(&second), some(&[5.0, 6.0]));
    assert_eq!(count(&version("g/other 1")), some(&[1.0, 2.0]), "another node");
    assert_eq!(count(&version("g/n 2")), some(&[1.0, 2.0]), "another upstream, or a reset");
    assert_eq!(count(&version("")), some(&[1.0, 2.0]));
    drop(second);
    bench.python.tidy();
    assert_eq!(count(&version("g/n 1")), some(&[1.0, 2.0]), "it was gone in between");
}
