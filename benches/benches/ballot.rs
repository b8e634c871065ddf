//! Ballots: making one, judging one, judging 1,024 at once; beside `elastic-elgamal` and the classical proof.

use benches::{Elastic, Ours, classical::Classical, credential, seal, seeded};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use std::time::Duration;

const BATCH: usize = 1024;

fn ours(c: &mut Criterion) {
    let mut rng = seeded();
    let voter = credential(&mut rng);
    for options in [2, 5, 10] {
        let ours = Ours::new(options, BATCH);
        let (batch, one) = (ours.batch(), ours.ballots.first().cloned().unwrap_or_default());
        let mut group = c.benchmark_group("ballot");
        group.throughput(Throughput::Elements(1));
        group.bench_function(BenchmarkId::new("encrypt", options), |b| {
            b.iter(|| seal(&ours.form, options, &voter, &mut rng));
        });
        group.bench_function(BenchmarkId::new("verify_single", options), |b| b.iter(|| ours.form.verify(&one).is_ok()));
        group.throughput(Throughput::Elements(BATCH as u64));
        group.bench_function(BenchmarkId::new("verify_batch_1024", options), |b| {
            b.iter(|| ours.form.verify_batch(&batch, &mut rng));
        });
        group.finish();
    }
}

fn peers(c: &mut Criterion) {
    let mut rng = seeded();
    let theirs = Elastic::new(5, 64);
    let classical = Classical::new(5, &mut rng);
    let ballots: Vec<_> = (0..BATCH).map(|i| classical.seal(i % 5, &mut rng)).collect();
    let batch: Vec<_> = ballots.iter().map(Vec::as_slice).collect();
    let mut group = c.benchmark_group("peers");
    group.throughput(Throughput::Elements(64));
    group.bench_function("elastic_elgamal_decode_verify/5", |b| {
        b.iter(|| theirs.ballots.iter().all(|ballot| theirs.decode_and_verify(ballot)));
    });
    group.throughput(Throughput::Elements(BATCH as u64));
    group.bench_function("disjunctive_verify_batch_1024/5", |b| b.iter(|| classical.verify_batch(&batch, &mut rng)));
    group.finish();
}

criterion_group! {
    name = ballots;
    config = Criterion::default().sample_size(10).warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(2));
    targets = ours, peers
}
criterion_main!(ballots);
