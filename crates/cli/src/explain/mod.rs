//! The schedule viewer: one page that holds a program's issues, their producers and where time goes.
//!
//! In: a sound program and its explanation. Out: HTML that needs no network and no other file. The page itself is
//! `viewer.html`, `viewer.css` and `viewer.js`; what they show is JSON, compressed, as base64. `data.rs` says what is in it.

mod data;

pub use data::{block_json, entry_json, share};

use anyhow::Result;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::write::GzEncoder;
use lockstep_program::Program;
use lockstep_program::explain::Explanation;
use std::io::Write;

const PAGE: &str = include_str!("viewer.html");
const STYLE: &str = include_str!("viewer.css");
const SCRIPT: &str = include_str!("viewer.js");

/// The page of a program. Equal programs give equal pages.
pub fn page(program: &Program<'_>, explanation: &Explanation) -> Result<String> {
    let mut packed = GzEncoder::new(Vec::new(), Compression::default());
    packed.write_all(data::of(program, explanation)?.to_string().as_bytes())?;
    let data = STANDARD.encode(packed.finish()?);
    let title = program.name.replace('&', "&amp;").replace('<', "&lt;");
    // The data come last: nothing of them is searched for a mark.
    let page = PAGE.replace("{{style}}", STYLE).replace("{{script}}", SCRIPT);
    Ok(page.replace("{{title}}", &title).replace("{{data}}", &data))
}
