//! Metrics: one table of numbers per daemon, updated once per heartbeat or second, read by
//! `/metrics` (Prometheus text format), by `/healthz` and by the reports to the manager.

use crate::health::limited_listener::Limited;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

/// A daemon's numbers. Names are Prometheus': `ami_events_total`, or with labels
/// `ami_dropped_total{reason="lost"}`.
#[derive(Debug, Clone, Default)]
pub struct Metrics {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Debug, Default)]
struct Inner {
    values: BTreeMap<String, f64>,
    beat: Option<Instant>,
}

/// A main loop that has not come round for so long is not healthy.
const STUCK: Duration = Duration::from_secs(10);

impl Metrics {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        // A panic elsewhere while numbers were written leaves them readable.
        self.inner.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Sets a number.
    pub fn set(&self, name: &str, value: f64) {
        let mut inner = self.lock();
        match inner.values.get_mut(name) {
            Some(slot) => *slot = value,
            None => {
                inner.values.insert(name.to_string(), value);
            }
        }
    }

    /// The main loop came round.
    pub fn beat(&self) {
        self.lock().beat = Some(Instant::now());
    }

    /// True while the main loop comes round.
    pub fn healthy(&self) -> bool {
        self.lock().beat.is_some_and(|b| b.elapsed() < STUCK)
    }

    /// All numbers.
    pub fn snapshot(&self) -> Vec<(String, f64)> {
        self.lock().values.iter().map(|(k, v)| (k.clone(), *v)).collect()
    }

    /// Prometheus' text format.
    pub fn text(&self) -> String {
        let mut text = String::new();
        let mut last = "";
        let values = self.snapshot();
        for (name, value) in &values {
            let base = name.split('{').next().unwrap_or(name);
            if base != last {
                let kind = if base.ends_with("_total") { "counter" } else { "gauge" };
                let _ = writeln!(text, "# TYPE {base} {kind}");
                last = base;
            }
            let _ = writeln!(text, "{name} {value}");
        }
        text
    }
}

/// Serves `/metrics` and `/healthz` on loopback from a thread of its own. Port 0 picks a free one;
/// the address is returned.
///
/// # Errors
/// When the port is taken.
pub fn serve(metrics: Metrics, port: u16) -> anyhow::Result<std::net::SocketAddr> {
    use anyhow::Context;
    let listener = std::net::TcpListener::bind(("127.0.0.1", port)).with_context(|| {
        format!(
            "metrics port {port} on 127.0.0.1 is not free: set metrics.port to another, or to 0"
        )
    })?;
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    std::thread::Builder::new().name("metrics".into()).spawn(move || {
        let served = runtime.block_on(async move {
            let listener = tokio::net::TcpListener::from_std(listener)?;
            axum::serve(Limited::new(listener), routes(metrics)).await
        });
        if let Err(error) = served {
            tracing::warn!(%error, "metrics are no longer served");
        }
    })?;
    Ok(address)
}

fn routes(metrics: Metrics) -> axum::Router {
    use axum::http::StatusCode;
    use axum::routing::get;
    let health = metrics.clone();
    axum::Router::new().route("/metrics", get(move || async move { metrics.text() })).route(
        "/healthz",
        get(move || async move {
            if health.healthy() {
                (StatusCode::OK, "ok\n")
            } else {
                (StatusCode::SERVICE_UNAVAILABLE, "main loop is stuck\n")
            }
        }),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_has_one_type_line_per_metric() {
        let metrics = Metrics::default();
        metrics.set("ami_dropped_total{reason=\"a\"}", 1.0);
        metrics.set("ami_dropped_total{reason=\"b\"}", 2.0);
        metrics.set("ami_lag_ns", 3.5);
        let text = metrics.text();
        assert_eq!(text.matches("# TYPE").count(), 2);
        assert!(
            text.contains("# TYPE ami_dropped_total counter\nami_dropped_total{reason=\"a\"} 1\n")
        );
        assert!(text.contains("# TYPE ami_lag_ns gauge\nami_lag_ns 3.5\n"));
        assert!(!metrics.healthy());
        metrics.beat();
        assert!(metrics.healthy());
    }
}
