//! Rules of the house that neither the compiler nor clippy holds: see CONTRIBUTING.md.
#![allow(missing_docs, clippy::unwrap_used)]

use std::path::{Path, PathBuf};

/// A file, tests included. The aim is 200 lines, and 500 without tests.
const LINES_MAX: usize = 800;

/// Folders below the root that people write.
const FOLDERS: [&str; 9] = [".ci", "crates", "docs", "examples", "filetests", "fuzz", "tests", "tools", "xtask"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// All files with one of the extensions, in order.
fn files(extensions: &[&str]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for folder in FOLDERS {
        collect(&root().join(folder), extensions, &mut found);
    }
    found.sort();
    assert!(found.len() > 8, "{extensions:?}: this test looks in the wrong place");
    found
}

fn collect(folder: &Path, extensions: &[&str], found: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for path in entries.map(|entry| entry.unwrap().path()) {
        if path.is_dir() && path.file_name().unwrap() != "target" {
            collect(&path, extensions, found);
        } else if path.extension().is_some_and(|extension| extensions.iter().any(|wanted| extension == *wanted)) {
            found.push(path);
        }
    }
}

/// `path: line number: what` for every line that `judge` objects to.
fn objections(files: &[PathBuf], judge: impl Fn(&Path, &str) -> Option<String>) -> Vec<String> {
    let mut found = Vec::new();
    for path in files {
        // Test data need not be text.
        let Ok(text) = std::fs::read_to_string(path) else { continue };
        let shown = path.strip_prefix(root()).unwrap();
        for (index, line) in text.lines().enumerate() {
            let what = judge(shown, line);
            found.extend(what.map(|what| format!("{}:{}: {what}", shown.display(), index + 1)));
        }
    }
    found
}

fn assert_none(objections: &[String]) {
    assert!(objections.is_empty(), "\n{}", objections.join("\n"));
}

#[test]
fn files_are_short() {
    let too_long = files(&["rs"]).into_iter().filter_map(|path| {
        let lines = std::fs::read_to_string(&path).unwrap().lines().count();
        (lines > LINES_MAX).then(|| format!("{}: {lines} lines, at most {LINES_MAX}: split it", path.display()))
    });
    assert_none(&too_long.collect::<Vec<_>>());
}

#[test]
fn every_package_takes_the_workspace_lints() {
    let manifests = files(&["toml"]).into_iter().filter(|path| path.ends_with("Cargo.toml"));
    let without = manifests.filter_map(|path| {
        let manifest: toml::Table = std::fs::read_to_string(&path).unwrap().parse().unwrap();
        // fuzz is no member, since it needs a nightly compiler.
        let takes = manifest.get("lints").and_then(|lints| lints.get("workspace")).and_then(toml::Value::as_bool);
        let outside = manifest.contains_key("workspace");
        (takes != Some(true) && !outside).then(|| format!("{}: add `[lints] workspace = true`", path.display()))
    });
    assert_none(&without.collect::<Vec<_>>());
}

/// Written so that this file does not object to itself.
#[test]
fn nothing_is_left_for_later() {
    let words = [concat!("to", "do!("), concat!("unimple", "mented!("), concat!("#[ig", "nore"), concat!("db", "g!(")];
    let judge = |_: &Path, line: &str| words.iter().find(|word| line.contains(**word)).map(|word| format!("`{word}`"));
    assert_none(&objections(&files(&["rs"]), judge));
}

#[test]
fn no_path_of_one_machine() {
    let paths = [concat!("/wo", "rk/"), concat!("/ro", "ot/"), concat!("/ho", "me/"), concat!("/tm", "p/w/")];
    let judge = |_: &Path, line: &str| paths.iter().find(|path| line.contains(**path)).map(|path| format!("`{path}`"));
    assert_none(&objections(&files(&["rs", "py", "md", "toml"]), judge));
}

/// Links between documents, relative to the one that has them.
#[test]
fn links_lead_somewhere() {
    let mut documents = files(&["md"]);
    documents.extend(["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md"].map(|name| root().join(name)));
    let broken = objections(&documents, |path, line| {
        let targets = line.split("](").skip(1).filter_map(|rest| rest.split([')', '#']).next());
        let mut targets = targets.filter(|target| !target.is_empty() && !target.contains("://"));
        let folder = root().join(path.parent().unwrap());
        targets.find(|target| !folder.join(target).exists()).map(|target| format!("{target}: no such file"))
    });
    assert_none(&broken);
}

#[test]
fn decisions_are_listed() {
    let folder = root().join("docs/decisions");
    let list = std::fs::read_to_string(folder.join("README.md")).unwrap();
    for entry in std::fs::read_dir(folder).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(name == "README.md" || list.contains(&format!("({name})")), "{name}: not in docs/decisions/README.md");
    }
}

/// Outside kernels, unsafe code is allowed file by file; each such file is named here with what it is for.
#[test]
fn unsafe_code_is_where_it_is_expected() {
    let expected = [
        "crates/cli/src/map.rs",     // the memory map of a model file
        "crates/host/src/run.rs",    // a worker's part of a buffer, disjoint by the plan
        "crates/host/src/shared.rs", // buffers that workers write disjoint parts of
        "crates/host/src/store.rs",  // the memory map of packed weights
        "crates/host/src/team.rs",   // a step's work lent to the workers until they meet
    ];
    let judge = |path: &Path, line: &str| {
        let allows = line.contains(concat!("allow(unsafe", "_code"));
        let fine = path.starts_with("crates/kernels") || expected.iter().any(|file| path == Path::new(file));
        (allows && !fine).then(|| "unsafe code is not expected in this file".to_owned())
    };
    assert_none(&objections(&files(&["rs"]), judge));
}
