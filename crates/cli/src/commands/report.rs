//! The import report: how far the integer weights lie from what the file says, tensor by tensor.

use anyhow::{Context, Result};
use lockstep_arith::import::{ImportReport, import};
use lockstep_formats::Tensor;
use serde_json::{Value, json};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Reports of all matrices, in the order of `tensors`; none for a vector, which is kept as it is.
pub fn reports(tensors: &[Tensor<'_>]) -> Result<Vec<Option<ImportReport>>> {
    let results: Vec<Mutex<Option<Result<Option<ImportReport>>>>> = tensors.iter().map(|_| Mutex::new(None)).collect();
    let next = AtomicUsize::new(0);
    let work = || {
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(tensor) = tensors.get(index) else { return };
            let done = Some(report(tensor));
            *results[index].lock().unwrap_or_else(std::sync::PoisonError::into_inner) = done;
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, std::num::NonZero::get) {
            scope.spawn(work);
        }
    });
    let taken = results.into_iter().filter_map(|slot| slot.into_inner().unwrap_or_default());
    taken.collect()
}

fn report(tensor: &Tensor<'_>) -> Result<Option<ImportReport>> {
    let [rows, cols] = tensor.shape[..] else { return Ok(None) };
    let imported = import(tensor.ty, rows, cols, tensor.data).with_context(|| format!("tensor {}", tensor.name))?;
    Ok(Some(imported.1))
}

/// A report for programs: differences in steps of the group.
pub fn json(report: &ImportReport) -> Value {
    json!({ "rms_steps": report.rms(), "largest_steps": report.largest })
}
