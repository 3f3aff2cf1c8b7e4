//! Reads and tries user code beside the loop, so that a slow import keeps nobody from an answer.
//!
//! Who asks about code that is not known yet is told to ask again; the question goes to a thread. An edit
//! that met such an answer is looked at again when more has been found out.

use ami_graph::data::frame::Frame;
use ami_graph::data::owned_column::{EventErrors, OwnedColumn};
use ami_graph::data::types::Type;
use ami_graph::op::foreign::{Call, Foreign, UserCode};
use ami_graph::op::plain::Plain;
use ami_python::Python;
use serde_json::Value;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Answers that are remembered while nothing waits for them.
const MOST_KNOWN: usize = 256;
/// What is told when this itself is wrong.
const FAILED: &str = "reading this code failed, which is a mistake of ami: see the manager's log";
/// What is told meanwhile; nobody outside sees it.
const WAIT: &str = "this code is being read";

/// What is asked about code.
#[derive(Debug, Clone, PartialEq)]
enum Question {
    /// What is in a source: environment, file, source, name.
    Describe(String, String, String, Option<String>),
    /// Whether it runs on inputs of these types.
    Load(Arc<UserCode>, Vec<Type>),
}

impl Question {
    fn ask(&self, python: &Python) -> Result<Value, String> {
        match self {
            Question::Describe(env, file, source, name) => {
                python.describe(env, file, source, name.as_deref())
            }
            Question::Load(code, inputs) => python.load(code, inputs, "").map(|()| Value::Null),
        }
    }
}

/// What was asked, what was found out, and whether that was told since the last look.
#[derive(Debug)]
struct Known {
    question: Question,
    answer: Option<Result<Value, String>>,
    told: bool,
}

#[derive(Debug, Default)]
struct Shared {
    known: Vec<Known>,
    /// How many answers were found.
    found: u64,
    /// Somebody was told to wait.
    waits: bool,
}

/// See the module.
#[derive(Debug)]
pub struct Trying {
    shared: Arc<Mutex<Shared>>,
    questions: Sender<Question>,
}

impl Trying {
    /// Starts the thread; it ends when this is dropped and the question in work is answered.
    ///
    /// # Errors
    /// When there is no thread to be had.
    pub fn start(python: Python) -> io::Result<Trying> {
        let shared = Arc::new(Mutex::new(Shared::default()));
        let (questions, asked) = channel::<Question>();
        let answers = Arc::clone(&shared);
        let work = move || {
            for question in asked {
                // Who waits for an answer gets one, whatever happens.
                let answer = catch_unwind(AssertUnwindSafe(|| question.ask(&python)))
                    .unwrap_or_else(|_| Err(FAILED.into()));
                let mut shared = locked(&answers);
                shared.found += 1;
                if let Some(known) = shared.known.iter_mut().find(|k| k.question == question) {
                    known.answer = Some(answer);
                }
            }
        };
        std::thread::Builder::new().name("user code".into()).spawn(work)?;
        Ok(Trying { shared, questions })
    }

    /// As [`Python::describe`], once it is known.
    ///
    /// # Errors
    /// As there; or that it is not known yet.
    pub fn describe(
        &self,
        env: &str,
        file: &str,
        source: &str,
        name: Option<&str>,
    ) -> Result<Value, String> {
        let name = name.map(str::to_owned);
        self.ask(Question::Describe(env.to_owned(), file.to_owned(), source.to_owned(), name))
    }

    /// Whether anybody was told to wait since the last call of this. If not, what went wrong has been told:
    /// who asks again wants it tried again.
    pub fn waits(&self) -> bool {
        let mut shared = locked(&self.shared);
        let waits = std::mem::take(&mut shared.waits);
        if !waits {
            shared.known.retain(|k| !(k.told && matches!(k.answer, Some(Err(_)))));
            let surplus = shared.known.len().saturating_sub(MOST_KNOWN);
            let mut left = surplus;
            shared.known.retain(|k| {
                let goes = left > 0 && k.answer.is_some();
                left -= usize::from(goes);
                !goes
            });
        }
        shared.known.iter_mut().for_each(|k| k.told = false);
        waits
    }

    /// Counts up whenever something was found out.
    pub fn found(&self) -> u64 {
        locked(&self.shared).found
    }

    fn ask(&self, question: Question) -> Result<Value, String> {
        let mut shared = locked(&self.shared);
        if let Some(known) = shared.known.iter_mut().find(|k| k.question == question) {
            known.told = true;
            let answer = known.answer.clone();
            return answer.unwrap_or_else(|| {
                shared.waits = true;
                Err(WAIT.into())
            });
        }
        if self.questions.send(question.clone()).is_err() {
            return Err(FAILED.into());
        }
        shared.known.push(Known { question, answer: None, told: true });
        shared.waits = true;
        Err(WAIT.into())
    }
}

fn locked(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    // Every change leaves it whole.
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Planning only asks whether code can be loaded.
impl Foreign for Trying {
    fn load(&self, code: &Arc<UserCode>, inputs: &[Type], _: &str) -> Result<(), String> {
        self.ask(Question::Load(Arc::clone(code), inputs.to_vec())).map(|_| ())
    }

    fn events(&self, _: &Arc<UserCode>, _: Call<'_>, _: &mut [OwnedColumn], _: &mut EventErrors) {}

    fn absorb(
        &self,
        _: &Arc<UserCode>,
        _: Option<Plain>,
        _: Call<'_>,
        _: &mut EventErrors,
    ) -> Result<Plain, String> {
        Err(NO_DATA.into())
    }

    fn merge(&self, _: &Arc<UserCode>, _: &[Plain]) -> Result<Plain, String> {
        Err(NO_DATA.into())
    }

    fn finish(&self, _: &Arc<UserCode>, _: &Plain, _: &mut [OwnedColumn]) -> Result<(), String> {
        Err(NO_DATA.into())
    }

    fn update(
        &self,
        _: &Arc<UserCode>,
        _: &Frame,
        _: Call<'_>,
        _: &mut [OwnedColumn],
    ) -> Result<Option<u64>, String> {
        Err(NO_DATA.into())
    }
}

const NO_DATA: &str = "the manager has no data";
