//! The default model's file.
