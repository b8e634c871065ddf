//! The simulator over the toy group. The same seeds as `simulate`'s, other bytes, and the same judgements.

use std::process::ExitCode;

fn main() -> ExitCode {
    // Over the curve the generator's encoding begins with another byte.
    let generator = protocol::group::Point::generator();
    assert_eq!(generator.bytes()[..2], [1, 0], "the shipping code was not built over the toy group");
    simulator::cli::main(simulator::cli::Group::Toy)
}
