//! What the tests share.

use ami_graph::data::batch::Column;
use ami_graph::data::column_views::value_at;
use ami_graph::data::owned_column::{EventErrors, OwnedColumn};
use ami_graph::data::types::Type;
use ami_graph::data::value::{DType, Scalar, Value};
use ami_graph::op::foreign::{Call, Foreign, UserCode};
use ami_python::{Python, Settings};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::{Arc, OnceLock};

/// An interpreter that has numpy; None, with a word, if there is none.
pub fn interpreter() -> Option<PathBuf> {
    static FOUND: OnceLock<Option<PathBuf>> = OnceLock::new();
    let find = || {
        let given = std::env::var_os("AMI_TEST_PYTHON").map(PathBuf::from);
        let has_numpy = |path: &PathBuf| {
            let mut command = Command::new(path);
            command.args(["-c", "import numpy"]).stderr(Stdio::null());
            command.status().is_ok_and(|status| status.success())
        };
        given.into_iter().chain(["python3".into()]).find(has_numpy)
    };
    let found = FOUND.get_or_init(find).clone();
    if found.is_none() {
        println!("skipped: no interpreter has numpy; set AMI_TEST_PYTHON");
    }
    found
}

/// A daemon's object, and its run directory.
pub struct Bench {
    pub python: Python,
    pub dir: tempfile::TempDir,
}

impl Bench {
    pub fn new() -> Option<Bench> {
        Bench::with(Settings::default())
    }

    pub fn with(settings: Settings) -> Option<Bench> {
        let settings = Settings {
            enabled: true,
            envs: [("default".to_owned(), interpreter()?)].into(),
            ..settings
        };
        let dir = tempfile::tempdir().unwrap();
        Some(Bench { python: Python::new(settings, dir.path(), "worker-1"), dir })
    }

    /// Per-event code on columns.
    pub fn events(&self, code: &Arc<UserCode>, columns: &[Column<'_>], events: usize) -> Given {
        self.some_events(code, columns, events, None)
    }

    pub fn some_events(
        &self,
        code: &Arc<UserCode>,
        columns: &[Column<'_>],
        events: usize,
        mask: Option<&[u8]>,
    ) -> Given {
        let columns: Vec<&Column<'_>> = columns.iter().collect();
        let mut given = Given::new(code);
        let call = Call { events, mask, columns: &columns };
        self.python.events(code, call, &mut given.outputs, &mut given.errors);
        given.events = events;
        given
    }
}

/// What came back.
pub struct Given {
    pub outputs: Vec<OwnedColumn>,
    pub errors: EventErrors,
    events: usize,
}

impl Given {
    pub fn new(code: &UserCode) -> Given {
        let outputs = vec![OwnedColumn::new(); code.outputs.len()];
        Given { outputs, errors: EventErrors::default(), events: 0 }
    }

    /// An output in every event.
    pub fn values(&self, output: usize) -> Vec<Option<Value>> {
        assert_eq!(self.outputs[output].events(), self.events, "one entry for each event");
        let view = self.outputs[output].view();
        (0..self.events).map(|event| value_at(&view, event)).collect()
    }

    pub fn numbers(&self, output: usize) -> Vec<Option<f64>> {
        let number = |value: Option<Value>| match value? {
            Value::Scalar(scalar) => Some(scalar.as_f64()),
            other => panic!("{other:?} is no number"),
        };
        self.values(output).into_iter().map(number).collect()
    }

    pub fn message(&self) -> &str {
        self.errors.last.as_deref().unwrap_or("")
    }
}

pub const PRELUDE: &str = "import os, sys, time\nimport numpy as np\n\
    from ami_node import per_event, PerEvent, Reduction, Root\n";

/// Code with one output of float64.
pub fn code(source: &str, name: &str) -> Arc<UserCode> {
    typed(source, name, &[Type::scalar(DType::F64)])
}

pub fn typed(source: &str, name: &str, outputs: &[Type]) -> Arc<UserCode> {
    Arc::new(plain(source, name, outputs))
}

/// With the deadline of a machine that does much else.
pub fn plain(source: &str, name: &str, outputs: &[Type]) -> UserCode {
    UserCode {
        file: "hits.py".into(),
        name: name.into(),
        source: format!("{PRELUDE}{source}").into(),
        env: "default".into(),
        params: serde_json::Map::new(),
        timeout_ms: 60_000,
        state_bytes: 64 << 20,
        merges: false,
        outputs: outputs.to_vec(),
    }
}

pub fn floats(values: &[f64]) -> Column<'_> {
    Column::Scalars { dtype: DType::F64, data: bytemuck::cast_slice(values), present: None }
}

pub fn counting(events: usize) -> Vec<f64> {
    (0..events).map(|i| i as f64).collect()
}

pub fn some(values: &[f64]) -> Vec<Option<f64>> {
    values.iter().copied().map(Some).collect()
}

pub fn scalar(x: f64) -> Option<Value> {
    Some(Value::Scalar(Scalar::F64(x)))
}
