//! Every f32 from -87.3 to 88 through `exp32`, against f64: `cargo run --release -p lockstep-arith --example
//! exp32_exhaustive`. Takes minutes; the crate's tests take a part of the range.
#![allow(clippy::print_stdout)]

use lockstep_arith::elementwise::exp32;

fn main() {
    // Rising order: negative numbers fall in bits, then positive ones rise.
    let negative = (0x8000_0000..=(-87.3f32).to_bits()).rev();
    let positive = 0..=88.0f32.to_bits();
    let (mut worst, mut worst_at, mut last, mut count) = (0.0f64, 0.0f32, 0.0f32, 0u64);
    for x in negative.chain(positive).map(f32::from_bits) {
        let y = exp32(x);
        assert!(y >= last, "exp32 falls at {x}");
        assert!(x > 0.0 || y <= 1.0, "exp32({x}) = {y} is above 1");
        let exact = libm::exp(f64::from(x));
        let below = f32::from_bits((exact as f32).to_bits() & !0x007F_FFFF);
        // The unit in the last place of the binade that holds the true value.
        let binade = if f64::from(below) > exact { below / 2.0 } else { below };
        let ulps = (f64::from(y) - exact).abs() / (f64::from(binade) * f64::from(f32::EPSILON));
        if ulps > worst {
            (worst, worst_at) = (ulps, x);
        }
        (last, count) = (y, count + 1);
    }
    println!("{count} values, at most {worst:.6} ulp (at {worst_at:e}), monotone, at most 1 for x <= 0");
}
