//! Import speed by source type: `cargo bench -p lockstep-arith`. Prints millions of weights a second on one core.
#![allow(clippy::print_stdout, clippy::unwrap_used, missing_docs)]

use std::hint::black_box;
use std::time::Instant;

use lockstep_arith::import::import;
use lockstep_arith::source::SourceType;

const ROWS: usize = 2048;
const COLS: usize = 2048;

fn main() {
    for ty in SourceType::ALL {
        let bytes = bytes(ty);
        let best = (0..5)
            .map(|_| {
                let start = Instant::now();
                black_box(import(ty, ROWS, COLS, black_box(&bytes)).unwrap());
                start.elapsed().as_secs_f64()
            })
            .fold(f64::INFINITY, f64::min);
        println!("{:8} {:6.0} M weights/s", ty.name(), (ROWS * COLS) as f64 / best / 1e6);
    }
}

/// Blocks of varied bytes in which no scale or float can be infinite.
fn bytes(ty: SourceType) -> Vec<u8> {
    let mut state = 1u64;
    let next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        // Bits 5 and 6 clear: as the high byte of a number they keep the exponent low.
        (state >> 56) as u8 & 0x9F
    };
    std::iter::repeat_with(next).take(ROWS * COLS / ty.block_weights() * ty.block_bytes()).collect()
}
