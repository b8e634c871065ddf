//! Numbers for whoever watches a daemon: Prometheus text over HTTP, on an address of its own, if one is configured.
//!
//! They tell counts and nothing of any ballot. The listener asks nobody who they are: it belongs on a loopback or
//! management address. Without one, counting costs nothing.

use std::net::SocketAddr;

use metrics_exporter_prometheus::{BuildError, PrometheusBuilder};
use thiserror::Error;

/// Broken invariants, by id. Must stay 0: anything else is a defect or damaged memory.
const BROKEN: &str = "conclave_invariant_broken_total";

/// Why there are no numbers.
#[derive(Debug, Error)]
#[error("metrics cannot be served at {address}: {source}; choose a free address, or leave `metrics` out")]
pub struct MetricsTrouble {
    /// Configured.
    address: SocketAddr,
    /// What is wrong with it.
    source: Box<BuildError>,
}

/// Serves the numbers of this process from now on, the given invariants with 0 among them. Once in a process, inside of a
/// runtime.
///
/// # Errors
/// [`MetricsTrouble`].
pub fn serve(address: SocketAddr, invariants: &[&'static str]) -> Result<(), MetricsTrouble> {
    let trouble = |source| MetricsTrouble { address, source: Box::new(source) };
    PrometheusBuilder::new().with_http_listener(address).install().map_err(trouble)?;
    metrics::describe_counter!(BROKEN, "Invariants that did not hold. Must stay 0.");
    for id in invariants {
        metrics::counter!(BROKEN, "invariant" => *id).increment(0);
    }
    tracing::info!(%address, "metrics are served, to anybody who can reach that address");
    Ok(())
}

/// An invariant did not hold.
pub fn invariant_broken(id: &'static str) {
    metrics::counter!(BROKEN, "invariant" => id).increment(1);
}

/// Counts something that happens often.
pub fn count(name: &'static str, more: u64) {
    metrics::counter!(name).increment(more);
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read as _, Write as _};

    #[tokio::test(flavor = "multi_thread")]
    async fn what_is_counted_is_served_and_a_taken_address_is_named() {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = free.local_addr().unwrap();
        let taken = serve(address, &[]).unwrap_err().to_string();
        assert!(taken.contains(&address.to_string()) && taken.contains("leave `metrics` out"), "{taken}");
        drop(free);
        serve(address, &["I05", "I14"]).unwrap();
        invariant_broken("I14");
        count("conclave_ballots_recorded_total", 7);
        let text = tokio::task::spawn_blocking(move || {
            let mut stream = std::net::TcpStream::connect(address).unwrap();
            stream.write_all(b"GET /metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").unwrap();
            let mut text = String::new();
            stream.read_to_string(&mut text).unwrap();
            text
        });
        let text = text.await.unwrap();
        assert!(text.contains("conclave_invariant_broken_total{invariant=\"I05\"} 0"), "{text}");
        assert!(text.contains("conclave_invariant_broken_total{invariant=\"I14\"} 1"), "{text}");
        assert!(text.contains("conclave_ballots_recorded_total 7"), "{text}");
    }
}
