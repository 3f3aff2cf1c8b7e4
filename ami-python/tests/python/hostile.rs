//! A host that lies: whatever it answers is an error at most.

use crate::common::{Bench, Given, code, counting, floats, typed};
use ami_graph::data::owned_column::EventErrors;
use ami_graph::data::types::Type;
use ami_graph::data::value::DType;
use ami_graph::op::foreign::{Call, Foreign};
use ami_python::{Python, Settings};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// An interpreter that runs this instead of the host: `answer(call)` makes each answer.
fn fake(dir: &Path, answer: &str) -> PathBuf {
    let script = dir.join("fake.py");
    let text = format!(
        "
import json, mmap, os, socket, struct
s = socket.socket(fileno=3)
out = mmap.mmap(5, 0)
U = 2**64 - 1
def put(at, *words): struct.pack_into('<%dQ' % len(words), out, at, *words)
def columns(*c): return {{'ok': {{'outputs': list(c), 'failed': 0, 'failures': []}}}}
{answer}
s.send(b'{{\"ready\": 1, \"protocol\": 1}}')
while True:
    data = s.recv(1 << 16)
    if not data: break
    call = json.loads(data)
    if call['call'] in ('events', 'absorb', 'finish', 'merge'): given = answer(call)
    elif call['call'] == 'describe': given = {{'ok': {{'nodes': {{'f': {{'kind': 'per_event'}}}}}}}}
    else: given = {{'ok': {{}}}}
    s.send(given if isinstance(given, bytes) else json.dumps(given).encode())
"
    );
    std::fs::write(&script, text).unwrap();
    let path = dir.join("interpreter");
    std::fs::write(&path, format!("#!/bin/sh\nexec python3 {}\n", script.display())).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o700)).unwrap();
    path
}

fn with_host(answer: &str, run: impl FnOnce(&Bench)) {
    let dir = tempfile::tempdir().unwrap();
    let interpreter = fake(dir.path(), answer);
    let settings = Settings {
        enabled: true,
        envs: [("default".to_owned(), interpreter)].into(),
        ..Settings::default()
    };
    run(&Bench { python: Python::new(settings, dir.path(), "w"), dir });
}

fn refused(answer: &str, of: Type) {
    with_host(&format!("def answer(call):\n    {answer}"), |bench| {
        let code = typed("", "f", std::slice::from_ref(&of));
        let input = counting(4);
        let given = bench.events(&code, &[floats(&input)], 4);
        let told = given.message();
        assert_eq!(given.errors.count, 4, "{answer}: {told}");
        let known = ["answered what is no", "gave a result that is none", "exited with code 1"];
        assert!(known.iter().any(|known| told.contains(known)), "{answer}: {told}");
        println!("{answer}: {told}");
        assert_eq!(given.values(0), vec![None; 4], "{answer}");
    });
}

#[test]
fn answers_that_are_none() {
    for answer in [
        "return b'{'",
        "return b'\\xff\\xff'",
        "return []",
        "return {}",
        "return {'ok': 1, 'error': {}}",
        "return {'ok': 5}",
        "return {'ok': {'outputs': 7}}",
        "return {'ok': {'outputs': []}}",
        "return {'ok': {'outputs': [None, None]}}",
        "return {'long': [1 << 60, 5]}",
        "return {'long': [64, U]}",
        "return {'long': [64, 100]}",
        "return {'ok': {'outputs': [None], 'failed': -1}}",
        "return {'ok': {'outputs': [None], 'failures': [1]}}",
        "s.close()",
    ] {
        refused(answer, Type::scalar(DType::F64));
    }
}

#[test]
fn columns_that_are_none() {
    for column in [
        "{'k': 's', 'at': 1 << 62, 'p': None}",
        "{'k': 's', 'at': -1, 'p': None}",
        "{'k': 's', 'at': 64, 'p': 1 << 40}",
        "{'k': 's', 'at': (1 << 20) - 8, 'p': None}",
        "{'k': 'd', 'at': 64, 'stride': 8, 'shape': []}",
        "{'k': 'x', 'at': 64}",
        "{'at': 64}",
        "5",
    ] {
        refused(&format!("return columns({column})"), Type::scalar(DType::F64));
    }
    for column in [
        "{'k': 'd', 'at': 64, 'stride': 0, 'shape': [8]}",
        "{'k': 'd', 'at': 64, 'stride': 1 << 62, 'shape': [8]}",
        "{'k': 'd', 'at': 64, 'stride': U, 'shape': [8]}",
        "{'k': 'd', 'at': 64, 'stride': 64, 'shape': [1 << 33]}",
        "{'k': 'd', 'at': 64, 'stride': 64, 'shape': [2, 2]}",
        "{'k': 'd', 'at': 64, 'stride': 1 << 32, 'shape': [1 << 29]}",
        "{'k': 's', 'at': 64}",
        "{'k': 'a', 'at': (1 << 20) - 64}",
    ] {
        refused(&format!("return columns({column})"), Type::array(DType::F64, 1));
    }
    refused(
        "return columns({'k': 'd', 'at': 64, 'stride': 64, 'shape': [7]})",
        Type::shaped(DType::F64, &[8]),
    );
}

#[test]
fn tables_that_are_none() {
    for row in [
        "1, 64, 1, 8",
        "0, 1 << 62, 1, 8",
        "0, U, 1, 8",
        "0, 64, 9, 8",
        "0, 64, 1, 1 << 62",
        "0, 64, 1, 1 << 32",
        "0, 64, 2, 2, 2",
        "0, 64, 1, 130000",
    ] {
        // The last one is fine for one event, but not for four, since nobody writes results over others.
        let answer = format!(
            "[put(1024 + 64 * i, {row}) for i in range(4)]; return columns({{'k': 'a', 'at': 1024}})"
        );
        refused(&answer, Type::array(DType::F64, 1));
    }
    for row in ["1 << 62, 8", "U, 1", "64, 1 << 62", "64, U - 1", "64, 1 << 19"] {
        let answer = format!(
            "[put(1024 + 16 * i, {row}) for i in range(4)]; return columns({{'k': 't', 'at': 1024}})"
        );
        refused(&answer, Type::scalar(DType::Str));
    }
    let no_text = "out[64:66] = b'\\xff\\xfe'; [put(1024 + 16 * i, 64, 2) for i in range(4)]; return columns({'k': 't', 'at': 1024})";
    refused(no_text, Type::scalar(DType::Str));
}

#[test]
fn bools_are_bools_and_the_mask_is_kept() {
    let answer = "def answer(call):\n    out[64:68] = bytes([0, 7, 255, 1]); out[128:132] = bytes([9, 9, 9, 0])\n    return columns({'k': 's', 'at': 64, 'p': 128})";
    with_host(answer, |bench| {
        let code = typed("", "f", &[Type::scalar(DType::Bool)]);
        let input = counting(4);
        let given = bench.some_events(&code, &[floats(&input)], 4, Some(&[1, 1, 0, 1]));
        assert_eq!(given.numbers(0), [Some(0.0), Some(1.0), None, None]);
        assert_eq!(given.errors.count, 0);
    });
}

#[test]
fn states_that_are_none() {
    for state in ["[64, 1 << 62]", "[U, 8]", "[1 << 60, 1000]", "[64, 3]", "5", "[64, 64]", "None"]
    {
        let answer = format!(
            "def answer(call):\n    out[64:68] = b'\\xff\\xff\\xff\\xff'\n    return {{'ok': {{'state': {state}, 'token': 1, 'outputs': [None]}}}}"
        );
        with_host(&answer, |bench| {
            let code = code("", "f");
            let mut errors = EventErrors::default();
            let call = Call { events: 0, mask: None, columns: &[] };
            assert!(bench.python.absorb(&code, None, call, &mut errors).is_err(), "{state}");
        });
    }
}

#[test]
fn a_host_that_numbers_events_as_it_likes() {
    for number in ["U - 1", "7", "1 << 40", "U"] {
        let answer = format!("def answer(call):\n    put(0, {number}); os._exit(3)");
        with_host(&answer, |bench| {
            let code = code("", "f");
            let mut given = Given::new(&code);
            let input = counting(4);
            let column = floats(&input);
            let call = Call { events: 4, mask: None, columns: &[&column] };
            bench.python.events(&code, call, &mut given.outputs, &mut given.errors);
            assert_eq!(given.errors.count, 4);
            assert!(given.message().contains("exited with code 3"), "{}", given.message());
        });
    }
    // Progress without an end comes to an end.
    let answer = "def answer(call):\n    n = 0\n    while True: n += 1; put(0, n % 4, n)";
    with_host(answer, |bench| {
        let mut code = crate::common::plain("", "f", &[Type::scalar(DType::F64)]);
        code.timeout_ms = 200;
        let input = counting(4);
        let given = bench.events(&code.into(), &[floats(&input)], 4);
        assert_eq!(given.errors.count, 4);
    });
}

#[test]
fn an_outbox_that_shrinks_or_grows() {
    let answer = "def answer(call):
    try: os.ftruncate(5, 10)
    except OSError: pass
    os.ftruncate(5, 1 << 40)
    return {'ok': {'outputs': [{'k': 's', 'at': 1 << 35}], 'failed': 0, 'failures': []}, 'outbox': 1 << 40}";
    with_host(answer, |bench| {
        let input = counting(4);
        let given = bench.events(&code("", "f"), &[floats(&input)], 4);
        assert_eq!(given.errors.count, 4);
        assert!(given.message().contains("not inside the shared memory"), "{}", given.message());
    });
}
