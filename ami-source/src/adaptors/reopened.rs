//! A source that broke is opened again, with growing pauses, and goes on where it was.
//!
//! A file server that stumbles, a file that was replaced: the run goes on when it is back. What
//! cannot be opened at the start ends the ventilator, since then the configuration is wrong.

use crate::adaptors::resumed::Resumed;
use crate::source::{Next, Source, Transition, Written};
use ami_proto::data_path::chunk::ChunkWriter;
use std::time::Duration;

/// Opens the source from its beginning.
pub type Open = Box<dyn FnMut() -> anyhow::Result<Box<dyn Source>>>;
/// A clock: ns since any moment, never going back.
pub type Clock = Box<dyn Fn() -> u64>;

/// The first pause, ns; each is twice the one before.
const FIRST: u64 = 100_000_000;
/// The longest pause, ns.
const LONGEST: u64 = 10_000_000_000;

/// A source that outlives its own failures.
pub struct Reopened {
    open: Open,
    clock: Clock,
    /// None while it is broken.
    inner: Option<Resumed>,
    canned: bool,
    /// Events taken, and those that an earlier life had taken.
    taken: u64,
    /// When to try again, and the pause after that, ns.
    again: u64,
    pause: u64,
    broken: u64,
}

impl Reopened {
    /// From the event number `taken` on.
    ///
    /// # Errors
    /// When it cannot be opened at all.
    pub fn new(mut open: Open, taken: u64, clock: Clock) -> anyhow::Result<Reopened> {
        let inner = Resumed::new(open()?, taken);
        let canned = inner.canned();
        let inner = Some(inner);
        Ok(Reopened { open, clock, inner, canned, taken, again: 0, pause: FIRST, broken: 0 })
    }

    /// The source, opened again if it is time.
    fn inner(&mut self) -> Option<&mut Resumed> {
        if self.inner.is_none() && (self.clock)() >= self.again {
            match (self.open)() {
                Ok(source) => {
                    tracing::info!(
                        events = self.taken,
                        "source opened again: going on after these"
                    );
                    self.inner = Some(Resumed::new(source, self.taken));
                }
                Err(error) => self.fails(&error),
            }
        }
        self.inner.as_mut()
    }

    fn fails(&mut self, error: &anyhow::Error) {
        let pause = Duration::from_nanos(self.pause);
        tracing::warn!(
            error = format!("{error:#}"),
            ?pause,
            "source lost; it is opened again after a pause"
        );
        self.inner = None;
        self.broken += 1;
        self.again = (self.clock)().saturating_add(self.pause);
        self.pause = (self.pause * 2).min(LONGEST);
    }

    fn took(&mut self, events: u64) {
        self.taken += events;
        if events > 0 {
            self.pause = FIRST;
        }
    }
}

impl Source for Reopened {
    fn next(&mut self) -> anyhow::Result<Next> {
        let Some(inner) = self.inner() else { return Ok(Next::Pending) };
        match inner.next() {
            Ok(next) => Ok(next),
            Err(error) => {
                self.fails(&error);
                Ok(Next::Pending)
            }
        }
    }

    fn transition(&mut self) -> Option<Transition> {
        self.inner.as_mut()?.transition()
    }

    fn write(
        &mut self,
        out: &mut ChunkWriter<'_>,
        before: u64,
        max: usize,
    ) -> anyhow::Result<Written> {
        let Some(inner) = &mut self.inner else { return Ok(Written::Events(0)) };
        match inner.write(out, before, max) {
            Ok(written) => {
                let (Written::Events(n) | Written::Full(n)) = written;
                self.took(n as u64);
                Ok(written)
            }
            Err(error) => {
                self.fails(&error);
                Ok(Written::Events(0))
            }
        }
    }

    fn skip(&mut self) {
        if matches!(self.next(), Ok(Next::Event(_)))
            && let Some(inner) = &mut self.inner
        {
            inner.skip();
            self.took(1);
        }
    }

    fn counters(&self) -> Vec<(&'static str, u64)> {
        let mut counters = self.inner.as_ref().map_or(Vec::new(), Source::counters);
        counters.push(("broken", self.broken));
        counters
    }

    fn canned(&self) -> bool {
        self.canned
    }

    fn lost(&self) -> bool {
        self.inner.is_none()
    }

    fn due_in(&self) -> Option<Duration> {
        match &self.inner {
            Some(inner) => inner.due_in(),
            None => Some(Duration::from_nanos(self.again.saturating_sub((self.clock)()))),
        }
    }

    fn wakes(&self) -> Option<std::os::fd::BorrowedFd<'_>> {
        self.inner.as_ref()?.wakes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;
    use std::rc::Rc;

    /// Ten events numbered from 0; it breaks before some of them, once each.
    struct Fragile {
        next: u64,
        breaks: Rc<Cell<u64>>,
    }

    impl Source for Fragile {
        fn next(&mut self) -> anyhow::Result<Next> {
            if self.next == self.breaks.get() {
                self.breaks.set(self.next + 3);
                anyhow::bail!("input/output error");
            }
            Ok(if self.next == 10 { Next::End } else { Next::Event(self.next) })
        }
        fn transition(&mut self) -> Option<Transition> {
            None
        }
        fn write(&mut self, _: &mut ChunkWriter<'_>, _: u64, _: usize) -> anyhow::Result<Written> {
            Ok(Written::Events(0))
        }
        fn skip(&mut self) {
            self.next += 1;
        }
    }

    #[test]
    fn a_source_that_breaks_goes_on_where_it_was_after_a_pause() {
        let (now, breaks, refused) =
            (Rc::new(Cell::new(0)), Rc::new(Cell::new(4)), Rc::new(Cell::new(0)));
        let (clock, seen, refusals) = (now.clone(), breaks.clone(), refused.clone());
        let open: Open = Box::new(move || {
            if refusals.get() > 0 {
                refusals.set(refusals.get() - 1);
                anyhow::bail!("no such file");
            }
            Ok(Box::new(Fragile { next: 0, breaks: seen.clone() }))
        });
        let mut source = Reopened::new(open, 0, Box::new(move || clock.get())).unwrap();
        let mut events = Vec::new();
        refused.set(3);
        loop {
            match source.next().unwrap() {
                Next::Event(n) => events.push(n),
                Next::Pending => {
                    assert!(source.lost());
                    let pause = source.due_in().unwrap();
                    assert!(pause > Duration::ZERO && pause <= Duration::from_nanos(LONGEST));
                    now.set(now.get() + pause.as_nanos() as u64);
                    continue;
                }
                _ => break,
            }
            source.skip();
        }
        assert_eq!(events, (0..10).collect::<Vec<_>>(), "each once, in order");
        assert_eq!(source.broken, 3 + 3, "refused, and broken before 4, 7 and the end");
        assert!(now.get() >= FIRST * (1 + 2 + 4 + 8));
    }

    #[test]
    fn a_new_life_goes_on_after_what_the_last_one_took() {
        let open: Open =
            Box::new(|| Ok(Box::new(Fragile { next: 0, breaks: Rc::new(Cell::new(99)) })));
        let mut source = Reopened::new(open, 7, Box::new(|| 0)).unwrap();
        assert_eq!(source.next().unwrap(), Next::Event(7));
    }
}
