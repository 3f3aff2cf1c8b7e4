//! Messages as a bridge sends them, made here: for tests of whatever reads them.

/// A message: its frames.
pub type Frames = Vec<Vec<u8>>;

/// Pulses of the trains made here.
pub const PULSES: usize = 4;

fn text(value: &str) -> Vec<u8> {
    [&[0xd9, value.len() as u8], value.as_bytes()].concat()
}

fn float(value: f64) -> Vec<u8> {
    [&[0xcb][..], &value.to_be_bytes()].concat()
}

fn whole(value: u64) -> Vec<u8> {
    [&[0xcf][..], &value.to_be_bytes()].concat()
}

fn list(items: &[Vec<u8>]) -> Vec<u8> {
    [vec![0x90 | items.len() as u8], items.concat()].concat()
}

fn map(entries: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let entries = entries.iter().map(|(key, value)| [text(key), value.clone()].concat());
    [vec![0x80 | entries.len() as u8], entries.collect::<Vec<_>>().concat()].concat()
}

fn bytes(value: &[u8]) -> Vec<u8> {
    [&[0xc6][..], &(value.len() as u32).to_be_bytes(), value].concat()
}

fn metadata(source: &str, train: u64) -> Vec<u8> {
    map(&[
        ("source", text(source)),
        ("timestamp", float(1.7e9 + train as f64 * 0.1)),
        ("timestamp.sec", text(&(1_700_000_000 + train / 10).to_string())),
        ("timestamp.frac", text(&format!("{}00000000000000000", train % 10))),
        ("timestamp.tid", whole(train)),
    ])
}

fn le<T: bytemuck::Pod>(elements: &[T]) -> Vec<u8> {
    bytemuck::cast_slice(elements).to_vec()
}

/// Pixels of a train, pulse by pulse, of 2 × 3 pixels.
pub fn pixels(train: u64) -> Vec<u16> {
    (0..PULSES * 6).map(|i| (train % 1000) as u16 * 10 + i as u16).collect()
}

/// Protocol 2.2: a detector and a motor.
pub fn train(train: u64) -> Frames {
    [detector(train), motor(train)].concat()
}

/// The detector's part.
pub fn detector(train: u64) -> Frames {
    let source = "DET/A:output";
    let header = map(&[
        ("source", text(source)),
        ("content", text("msgpack")),
        ("metadata", metadata(source, train)),
    ]);
    let values = map(&[("ok", vec![0xc3]), ("gain", float(1.5)), ("mode", text("high"))]);
    let array = |path: &str, dtype: &str, shape: &[u64], data: Vec<u8>| {
        let shape: Vec<_> = shape.iter().map(|axis| whole(*axis)).collect();
        let header = map(&[
            ("source", text(source)),
            ("content", text("array")),
            ("path", text(path)),
            ("dtype", text(dtype)),
            ("shape", list(&shape)),
        ]);
        [header, data]
    };
    let pulses = PULSES as u64;
    let numbers: Vec<u64> = (0..pulses).map(|n| 16 * n).collect();
    let data = array("image.data", "uint16", &[pulses, 2, 3], le(&pixels(train)));
    let ids = array("image.pulseId", "uint64", &[pulses], le(&numbers));
    [vec![header, values], data.to_vec(), ids.to_vec()].concat()
}

/// The motor's part: its position, and how often it moved.
pub fn motor(train: u64) -> Frames {
    let header = map(&[
        ("source", text("MOTOR/1")),
        ("content", text("msgpack")),
        ("metadata", metadata("MOTOR/1", train)),
    ]);
    let values = map(&[
        ("position.value", float(train as f64 / 2.0)),
        ("moves.value", whole(train)),
        ("limits", list(&[whole(1), whole(2)])),
    ]);
    vec![header, values]
}

/// Protocol 1.0: the detector alone.
pub fn old(train: u64) -> Frames {
    let data = map(&[
        ("nd", vec![0xc3]),
        ("type", text("<u2")),
        ("kind", bytes(b"")),
        ("shape", list(&[whole(PULSES as u64), whole(2), whole(3)])),
        ("data", bytes(&le(&pixels(train)))),
    ]);
    let source = map(&[
        ("image.data", data),
        ("gain", float(1.5)),
        ("metadata", metadata("DET/A:output", train)),
    ]);
    vec![map(&[("DET/A:output", source)])]
}

/// Trains of both protocols, with a source that comes later and one that is missing once.
pub fn all() -> Vec<Frames> {
    vec![detector(1), train(2), train(3), detector(4), train(5), old(6), train(9)]
}
