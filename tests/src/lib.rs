//! The proving ground: tidy checks, clusters over real TLS, kill tests. What is here is in `tests/tests`.
