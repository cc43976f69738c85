//! Programs as text: what people write by hand, and what a file looks like to them.
//!
//! ```text
//! lockstep 1                                    # the version; '#' begins a comment
//! name vector-add
//! machine lockstep1                             # a preset; or `machine`, a description's lines, `end`
//! chips 2
//! link 0.0 -> 1.8                               # chip.link -> chip.link
//! image "a" at 0:w3.0.17 vectors 1              # chip:slice.bank.word
//!   i8 ramp start=-8 step=1 count=16
//!   i8 fill 0
//! tensor "w" f32 640 at 0:w4-7.0.0              # one image for each byte plane, on as many slices
//!   1.0 -2.5 0.125
//!   random seed=7 min=-1 max=1
//! input "x" f32 320 at 0:w0-3.0.17              # for each tile a word for each byte plane
//! block "add"
//! queue mem.w0
//!   @0 mem bank0=read:0+b0:e0                   # `@` and the cycle of issue; gaps become `nop`
//!   repeat count=3 every=1 word_stride=1
//! entry "main"
//!   run "add" chip 0 at 0 base3=128
//! ```
//!
//! Blocks also take `cycles N`, `imports N` and, below `flow`, edges; entries take `cycles N`, phases, and imports below
//! each `run`. [`print()`] writes them all. Who writes by hand leaves them out: [`Parsed::derive`] then says that they
//! are still to be found. Phases may be named by hand.

mod data;
mod error;
mod lex;
mod parse;
mod parts;
mod place;
mod print;
mod words;

pub use data::parse_numbers;
pub use error::{TextError, TextErrors};
pub use parse::{Parsed, parse, parse_for};
pub use print::print;
