//! Prints how many ballots a second one thread verifies, ours and `elastic-elgamal`'s, in alternating runs.
//!
//! Ours: decode, proof and signature, in batches of 1,024. Theirs: decode and proof (there is no signature). Five
//! options, one choice. `cargo run --release -p benches --bin compare`

use benches::{Elastic, Ours, credential, seal, seeded};
use std::{hint::black_box, time::Instant};

const OPTIONS: u16 = 5;
const BATCH: usize = 1024;
/// So many that both take about as long, so that whatever else the machine does disturbs both alike.
const THEIRS: usize = 176;
const ROUNDS: usize = 15;

fn main() {
    let ours = Ours::new(OPTIONS, BATCH);
    let theirs = Elastic::new(OPTIONS.into(), THEIRS);
    let batch = ours.batch();
    let mut rng = seeded();
    let bytes = |ballots: &[Vec<u8>]| ballots.first().map_or(0, Vec::len);
    println!(
        "{OPTIONS} options: a ballot has {} bytes (elastic-elgamal: {})",
        bytes(&ours.ballots),
        bytes(&theirs.ballots)
    );

    let (mut our_rates, mut their_rates, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for round in 1..=ROUNDS {
        let our_rate = rate(BATCH, || ours.form.verify_batch(&batch, &mut rng).iter().all(Result::is_ok));
        let their_rate = rate(THEIRS, || theirs.ballots.iter().all(|ballot| theirs.decode_and_verify(ballot)));
        println!(
            "round {round}: ours {our_rate:6.0}/s  elastic-elgamal {their_rate:6.0}/s  ratio {:.2}",
            our_rate / their_rate
        );
        our_rates.push(our_rate);
        their_rates.push(their_rate);
        ratios.push(our_rate / their_rate);
    }

    let keys: Vec<_> = (0..256).map(|_| credential(&mut rng)).collect();
    let making =
        rate(keys.len(), || keys.iter().all(|key| !black_box(seal(&ours.form, OPTIONS, key, &mut rng)).is_empty()));
    println!(
        "median: ours {:.0}/s  elastic-elgamal {:.0}/s  ratio {:.2}; making a ballot takes {:.0} us",
        median(&mut our_rates),
        median(&mut their_rates),
        median(&mut ratios),
        1e6 / making
    );
}

/// Items per second of one run, which must succeed.
fn rate(items: usize, run: impl FnOnce() -> bool) -> f64 {
    let start = Instant::now();
    let good = run();
    let seconds = start.elapsed().as_secs_f64();
    assert!(good, "a good ballot was refused: the measurement is void");
    items as f64 / seconds
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
