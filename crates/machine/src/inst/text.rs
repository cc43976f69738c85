//! Instructions from text: a mnemonic, then `name=value` in any order.

use super::field::Field;
use super::{Inst, TABLE};

/// What is wrong with an instruction's text, and where: a byte offset into it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct InstTextError {
    /// Bytes before the fault.
    pub offset: usize,
    /// What is wrong and, after a semicolon, a hint.
    pub message: String,
}

/// The fields of an instruction's text that were not taken yet.
pub(super) struct Fields<'a> {
    mnemonic: &'a str,
    fields: Vec<(usize, &'a str, &'a str)>,
}

impl Fields<'_> {
    /// Takes the field of this name.
    pub(super) fn take<F: Field>(&mut self, name: &str) -> Result<F, InstTextError> {
        let Some(index) = self.fields.iter().position(|(_, n, _)| *n == name) else {
            let message = format!("{} needs {name}=; it takes {}", self.mnemonic, F::SYNTAX);
            return F::omitted().ok_or(InstTextError { offset: 0, message });
        };
        let (offset, _, value) = self.fields.remove(index);
        F::parse(value).ok_or_else(|| {
            // Only a number can be written as it should be and be too large.
            let limit = if F::SYNTAX == "N" { format!(" below {}", 1_u128 << F::BITS) } else { String::new() };
            let message = format!("{name}={value} is wrong; expected {}{limit}", F::SYNTAX);
            InstTextError { offset: offset + name.len() + 1, message }
        })
    }

    /// The error for a name that no instruction has.
    pub(super) fn unknown_mnemonic(mnemonic: &str) -> InstTextError {
        let near =
            TABLE.iter().map(|d| d.mnemonic).find(|known| known.starts_with(mnemonic) || mnemonic.starts_with(known));
        let all = || TABLE.iter().map(|d| d.mnemonic).collect::<Vec<_>>().join(" ");
        let hint = near.map_or_else(|| format!("known are: {}", all()), |near| format!("did you mean {near}?"));
        InstTextError { offset: 0, message: format!("no instruction is called {mnemonic:?}; {hint}") }
    }

    /// Everything must have been taken.
    fn finish(&self) -> Result<(), InstTextError> {
        let Some((offset, name, _)) = self.fields.first() else { return Ok(()) };
        let definition = TABLE.iter().find(|d| d.mnemonic == self.mnemonic);
        let known = definition.map_or_else(Vec::new, |d| d.fields.iter().map(|f| f.name).collect()).join(" ");
        let message = format!("{} has no field {name:?} (or it stands twice); its fields are: {known}", self.mnemonic);
        Err(InstTextError { offset: *offset, message })
    }
}

/// Reads one instruction.
pub fn parse(text: &str) -> Result<Inst, InstTextError> {
    let mut words = text.split_ascii_whitespace().map(|word| (word.as_ptr() as usize - text.as_ptr() as usize, word));
    let (_, mnemonic) =
        words.next().ok_or_else(|| InstTextError { offset: 0, message: "an instruction is missing".to_owned() })?;
    let mut fields = Vec::new();
    for (offset, word) in words {
        let (name, value) = word
            .split_once('=')
            .ok_or_else(|| InstTextError { offset, message: format!("{word:?} is not a field: write name=value") })?;
        fields.push((offset, name, value));
    }
    let mut fields = Fields { mnemonic, fields };
    let inst = Inst::from_fields(mnemonic, &mut fields)?;
    fields.finish()?;
    Ok(inst)
}
