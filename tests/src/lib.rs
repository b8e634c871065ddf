//! The proving ground: tidy checks, clusters over real TLS, kill tests.
