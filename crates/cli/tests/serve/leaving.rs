//! Clients that say nothing, break off, leave or read late: nothing of them stays, and nobody else is touched.

use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};

use lockstep_engine::sampling::random;
use serde_json::{Value, json};

use crate::http::{Stream, request};
use crate::said::Said;
use crate::served::{Served, eventually};
use crate::{chat, with};

const CLIENTS: usize = 200;
/// Clients at the same time; as many as the server answers at once.
const AT_ONCE: usize = 8;
const SEED: u64 = 11;

const PATH: &str = "/v1/chat/completions";

/// Numbers from a seed, one after the other.
struct Dice(u64, u64);

impl Dice {
    fn below(&mut self, end: usize) -> usize {
        self.1 += 1;
        (random(self.0, self.1) % end as u64) as usize
    }
}

/// An answer that nobody waits for to the end.
fn long(number: usize, is_streamed: bool) -> Value {
    let body = chat(&format!("Write a long story of {number} words."), 4000);
    with(body, &json!({"stream": is_streamed, "ignore_eos": true, "temperature": 1}))
}

/// A client of each kind does its worst; those that read late give what they have yet to read.
fn misbehave(served: &Served, number: usize, kinds: &mut [usize; 6]) -> Option<Stream> {
    let mut dice = Dice(SEED, 1000 * number as u64);
    let kind = dice.below(kinds.len());
    kinds[kind] += 1;
    let mut connection = served.connect();
    match kind {
        // Says nothing.
        0 => {}
        // Breaks off somewhere in the head or the body.
        1 => {
            let bytes = request("POST", PATH, &[], Some(&long(number, false)));
            connection.write_all(&bytes[..dice.below(bytes.len())]).unwrap();
        }
        // Asks and leaves.
        2 | 3 => connection.write_all(&request("POST", PATH, &[], Some(&long(number, kind == 2)))).unwrap(),
        // Leaves in the middle of a stream.
        4 => served.open(PATH, &long(number, true)).read_events(1 + dice.below(6)),
        // Reads late.
        _ => {
            let mut stream = served.open(PATH, &seen(true));
            stream.read_events(1);
            return Some(stream);
        }
    }
    None
}

/// What is asked alone and beside all of them.
fn seen(is_streamed: bool) -> Value {
    let changes = json!({"stream": is_streamed, "logprobs": true, "top_logprobs": 2, "temperature": 0.7});
    with(chat("Why is the sky blue?", 32), &changes)
}

#[test]
fn two_hundred_clients_that_misbehave_leave_nothing_behind_and_touch_nobody() {
    let served = Served::start(&["--parallel", "8"]);
    let files = served.open_files();
    let alone = Said::of(&served.post(PATH, &seen(false)));
    let is_over = AtomicBool::new(false);
    let kinds = std::thread::scope(|scope| {
        let beside = scope.spawn(|| {
            let answers = std::iter::from_fn(|| {
                (!is_over.load(Ordering::Relaxed)).then(|| Said::of(&served.post(PATH, &seen(true))))
            });
            answers.inspect(|said| assert_eq!(*said, alone)).count()
        });
        let clients = (0..AT_ONCE).map(|first| {
            let (served, alone) = (&served, &alone);
            scope.spawn(move || {
                let mut kinds = [0; 6];
                let numbers = (first..CLIENTS).step_by(AT_ONCE);
                let late: Vec<_> = numbers.filter_map(|number| misbehave(served, number, &mut kinds)).collect();
                for stream in late {
                    assert_eq!(Said::of(&stream.rest()), *alone, "read late");
                }
                kinds
            })
        });
        let clients: Vec<_> = clients.collect();
        let kinds = clients.into_iter().map(|client| client.join().unwrap());
        let kinds = kinds.fold([0; 6], |sum, kinds| std::array::from_fn(|kind| sum[kind] + kinds[kind]));
        is_over.store(true, Ordering::Relaxed);
        assert!(beside.join().unwrap() > 0);
        kinds
    });
    assert_eq!(kinds.iter().sum::<usize>(), CLIENTS);
    assert!(kinds.iter().all(|&count| count > CLIENTS / 12), "{kinds:?}");

    for name in ["lockstep_requests_running", "lockstep_requests_waiting", "lockstep_kv_cache_reserved_bytes"] {
        eventually(name, || served.metric(name) == 0.0);
    }
    // Its own listener is one of them; none is left of the clients.
    eventually("connections are closed", || {
        served.get("/health");
        served.open_files() <= files
    });
    // All places are free: as many answers are made at once as before.
    let mut streams: Vec<_> = (0..AT_ONCE).map(|number| served.open(PATH, &long(number, true))).collect();
    for stream in &mut streams {
        stream.read_events(2);
    }
    assert_eq!(served.metric("lockstep_requests_running"), 8.0);
}
