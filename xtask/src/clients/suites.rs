//! Which clients there are, and how one is installed and run.

use crate::command::root;
use crate::web::npm;
use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Clients with their checks.
pub(crate) struct Suite {
    /// As `--only` names it.
    pub(crate) name: &'static str,
    kind: Kind,
}

enum Kind {
    /// A script, run where the packages of `requirements-NAME.txt` are.
    Python(&'static str),
    /// Scripts with the package that each one checks; all packages are in one folder.
    Node(&'static [(&'static str, &'static str)]),
}

/// All of them; those that take longest to install come first.
pub(crate) const SUITES: [Suite; 9] = [
    Suite { name: "litellm", kind: Kind::Python("litellm_client.py") },
    Suite { name: "schemathesis", kind: Kind::Python("schema.py") },
    Suite {
        name: "npm",
        kind: Kind::Node(&[
            ("openai_client.mjs", "openai"),
            ("openai_client.mjs", "openai-previous"),
            ("groq_client.mjs", "groq-sdk"),
            ("groq_client.mjs", "groq-sdk-previous"),
        ]),
    },
    Suite { name: "langchain-groq", kind: Kind::Python("langchain_client.py") },
    Suite { name: "openai", kind: Kind::Python("openai_client.py") },
    Suite { name: "openai-2", kind: Kind::Python("openai_client.py") },
    Suite { name: "openai-1", kind: Kind::Python("openai_client.py") },
    Suite { name: "groq", kind: Kind::Python("groq_client.py") },
    Suite { name: "groq-0", kind: Kind::Python("groq_client.py") },
];

impl Suite {
    pub(crate) fn needs_npm(&self) -> bool {
        matches!(self.kind, Kind::Node(_))
    }

    /// Installs the packages below `folder` if they are not there yet; gives the commands of the checks.
    pub(crate) fn install(&self, folder: &Path) -> Result<Vec<Command>> {
        let (scripts, home) = (root()?.join("tests/clients"), folder.join(self.name));
        match self.kind {
            Kind::Python(script) => {
                let python = environment(&home, &scripts.join(format!("requirements-{}.txt", self.name)))?;
                let mut command = Command::new(python);
                // Their own compiled files are kept, ours would lie in the checkout.
                command.env("PYTHONPYCACHEPREFIX", folder.join("compiled")).arg(scripts.join(script));
                Ok(vec![command])
            }
            Kind::Node(checks) => {
                let home = packages(&home, &scripts)?;
                let command = |(script, package): &(&str, &str)| {
                    let mut command = Command::new("node");
                    command.arg(home.join(script)).arg(package);
                    command
                };
                Ok(checks.iter().map(command).collect())
            }
        }
    }
}

/// The Python of a virtual environment with exactly these packages.
fn environment(home: &Path, requirements: &Path) -> Result<PathBuf> {
    let wanted = text(requirements)?;
    let python = home.join(if cfg!(windows) { "Scripts/python.exe" } else { "bin/python" });
    let installed = home.join("installed.txt");
    if std::fs::read_to_string(&installed).is_ok_and(|text| text == wanted) {
        return Ok(python);
    }
    // The pip that is there works in all of them: copying it into each would take longest.
    quiet(Command::new("python3").args(["-m", "venv", "--clear", "--without-pip"]).arg(home))?;
    let mut pip = Command::new("python3");
    pip.args(["-m", "pip", "--python"]).arg(&python);
    pip.args(["install", "--quiet", "--disable-pip-version-check", "--no-input"]);
    // The list is whole: nothing is left to be chosen, nor to be compiled before it is used.
    quiet(pip.args(["--no-deps", "--no-compile", "--requirement"]).arg(requirements))?;
    std::fs::write(&installed, wanted)?;
    Ok(python)
}

/// A folder with the packages of the lock file, and the scripts, which find them only beside themselves.
fn packages(home: &Path, scripts: &Path) -> Result<PathBuf> {
    let wanted = text(&scripts.join("package-lock.json"))?;
    let installed = home.join("installed.txt");
    std::fs::create_dir_all(home)?;
    for entry in std::fs::read_dir(scripts)? {
        let path = entry?.path();
        let is_ours = path.extension().is_some_and(|extension| extension == "mjs" || extension == "json");
        if let Some(name) = path.file_name().filter(|_| is_ours) {
            std::fs::copy(&path, home.join(name)).with_context(|| path.display().to_string())?;
        }
    }
    if !std::fs::read_to_string(&installed).is_ok_and(|text| text == wanted) {
        quiet(npm(home).args(["ci", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel", "error"]))?;
        std::fs::write(&installed, wanted)?;
    }
    Ok(home.to_path_buf())
}

fn text(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).with_context(|| path.display().to_string())
}

/// Runs to the end; what it says is told only if it fails, so that installations beside each other do not mix.
fn quiet(command: &mut Command) -> Result<()> {
    let output = command.stdin(Stdio::null()).output();
    let output = output.with_context(|| format!("{} cannot be run", crate::command::shown(command)))?;
    if !output.status.success() {
        let said = [output.stdout, output.stderr].concat();
        bail!("failed: {}\n{}", crate::command::shown(command), String::from_utf8_lossy(&said).trim_end());
    }
    Ok(())
}
