//! Text as people write it, and all that they get wrong.
#![allow(missing_docs, clippy::unwrap_used)]

use lockstep_machine::inst::Inst;
use lockstep_program::program::{Content, Program};
use lockstep_program::text::{parse, print};
use lockstep_program::{derive, verify};

/// 320 sums: operands from eight slices of the west, results to four of the east.
const VECTOR_ADD: &str = r#"lockstep 1   # the version
name vector-add
machine lockstep1

tensor "a" f32 320 at 0:w0-3.0.17   # one image for each byte plane
  1.5 -2.5
  ramp start=0 step=0.5
tensor b f32 320 at w4-7.0.0
  fill 1
output "sum" f32 320 at 0:e0-3.0.0
block "add"
queue alu.0
  @7 alu op=add a=e0:f32 b=e4:f32 to=e0:f32
queue mem.w0
  @1 mem bank0=read:17+b0:e0
queue mem.w1
  @1 mem bank0=read:17+b0:e1
queue mem.w2
  @1 mem bank0=read:17+b0:e2
queue mem.w3
  @1 mem bank0=read:17+b0:e3
queue mem.w4
  mem bank0=read:0+b1:e4
queue mem.w5
  mem bank0=read:0+b1:e5
queue mem.w6
  @0 mem bank0=read:0+b1:e6
queue mem.w7
  @0 mem bank0=read:0+b1:e7
queue mem.e0
  @11 mem bank0=write:0+b0:e0
queue mem.e1
  @11 mem bank0=write:0+b0:e1
queue mem.e2
  @11 mem bank0=write:0+b0:e2
queue mem.e3
  @11 mem bank0=write:0+b0:e3
entry "main"
  run "add"
"#;

fn planes(program: &Program<'_>, name: &str) -> Vec<Vec<u8>> {
    let found = program.images.iter().filter(|image| image.name.split('.').next() == Some(name));
    let bytes = found.map(|image| match &image.content {
        Content::Bytes(bytes) => bytes.to_vec(),
        _ => panic!("no bytes"),
    });
    bytes.collect()
}

#[test]
fn a_program_by_hand_is_completed_and_sound() {
    let mut parsed = parse(VECTOR_ADD).unwrap_or_else(|errors| panic!("{errors}"));
    assert!(parsed.derive);
    let names: Vec<&str> = parsed.program.images.iter().map(|image| &*image.name).collect();
    assert_eq!(names, ["a.0", "a.1", "a.2", "a.3", "b.0", "b.1", "b.2", "b.3"]);
    let a = planes(&parsed.program, "a");
    let number = |lane: usize| f32::from_le_bytes([a[0][lane], a[1][lane], a[2][lane], a[3][lane]]);
    assert_eq!([0, 1, 2, 3, 319].map(number), [1.5, -2.5, 0.0, 0.5, 158.5]);
    assert_eq!(parsed.program.bindings[0].words.len(), 4);
    // Queues are put into the machine's order, and gaps are filled.
    assert_eq!(parsed.program.blocks[0].queues[0].queue.to_string(), "mem.w0");
    assert!(
        matches!(Inst::decode(parsed.program.blocks[0].queues[0].insts[0]), Ok(Inst::Nop { cycles }) if cycles.get() == 1)
    );
    derive(&mut parsed.program).unwrap_or_else(|violations| panic!("{violations:?}"));
    assert_eq!(verify(&parsed.program), []);
    let text = print(&parsed.program);
    let again = parse(&text).unwrap();
    assert!(!again.derive);
    assert_eq!(again.program, parsed.program);
    assert!(text.contains("  @11 mem bank0=write:0+b0:e0\n"), "{text}");
    assert!(text.contains("output \"sum\" f32 320 at 0:e0-3.0.0\n"), "{text}");
}

const HEAD: &str = "lockstep 1\nmachine lockstep1\n";

/// The bytes of an image or tensor of 320 numbers with these lines of data, plane by plane.
fn data(title: &str, lines: &str) -> Vec<Vec<u8>> {
    let program = parse(&format!("{HEAD}{title}\n{lines}\n")).unwrap_or_else(|errors| panic!("{errors}")).program;
    planes(&program, "x")
}

#[test]
fn data_has_many_forms() {
    let image = "image x at e0.0.0";
    assert_eq!(
        data(image, "hex 00ff 10\nhex 7f\nu8 255 0\ni8 -1\ni8 fill 0")[0][..8],
        [0, 255, 16, 127, 255, 0, 255, 0]
    );
    assert_eq!(data(image, "i8 ramp start=-2 step=3 count=4\nu8 fill 7")[0][..6], [254, 1, 4, 7, 7, 7]);
    let random = data(image, "i8 random seed=7 min=-8 max=7").remove(0);
    assert!((-8..=7).all(|n: i8| random.contains(&(n as u8))) && random.iter().all(|n| (-8..=7).contains(&(*n as i8))));
    assert_eq!(data(image, "i8 random seed=7 min=-8 max=7")[0], random);
    assert_ne!(data(image, "i8 random seed=8 min=-8 max=7")[0], random);
    let words = data("tensor x u16 321 at e0-1.0.0", "258 65535\nfill 1\n");
    assert_eq!(
        (words.len(), words[0].len(), &words[0][..3], &words[1][..3]),
        (2, 640, &[2, 255, 1][..], &[1, 255, 0][..])
    );
    assert_eq!((words[0][320], words[0][321]), (1, 0), "lanes past the last number are 0");
    let wide = data("tensor x i64 320 at e0-7.0.0", "-2 9_223_372_036_854_775_807\nfill 0");
    assert_eq!((0..8).map(|plane| wide[plane][1]).collect::<Vec<_>>(), [255, 255, 255, 255, 255, 255, 255, 127]);
    let floats = data("tensor x f32 320 at e0-3.0.0", "inf -0.0\nrandom seed=1 min=2 max=3");
    let float = |lane: usize| f32::from_le_bytes([0, 1, 2, 3].map(|plane| floats[plane][lane]));
    assert_eq!((float(0), float(1).to_bits()), (f32::INFINITY, 1 << 31));
    assert!((2..320).all(|lane| (2.0..=3.0).contains(&float(lane))));
}

#[test]
fn zero_and_absent_take_no_bytes() {
    let text = format!("{HEAD}image a at e0.0.0 vectors 4096\nzero\ntensor b i32 1000000 at e4-7.1.0\nabsent\n");
    let program = parse(&text).unwrap().program;
    assert!(program.images.iter().all(|image| !matches!(image.content, Content::Bytes(_))));
    assert_eq!(program.images[1].vectors, 3125);
}

#[track_caller]
fn errors(text: &str, expected: &[&str]) {
    let errors = parse(text).unwrap_err().to_string();
    let lines: Vec<&str> = errors.lines().collect();
    assert_eq!(lines.len(), expected.len(), "{errors}");
    for (line, expected) in lines.iter().zip(expected) {
        assert!(line.contains(expected), "{line}\nshould hold\n{expected}\nall:\n{errors}");
    }
}

/// Everything that is wrong is said at once, each where it stands and with what to do.
#[test]
fn all_errors_are_reported_with_their_places() {
    let text = r#"lockstep 1
machine lockstep1
chips two
link 0.0 - 1.0
imagee "a" at 0:w0.0.0
image "b" at 0:q0.0.0
image "c" at 0:w0.0.0 vectors 1
  i8 1 2 300
block "k"
queue mem.x0
queue mem.w0
  @5 mem bank0=read:0+b0:e0
  @3 mem bank0=read:0+b0:e0
  mem bank0=read:0+b0:e99   # é
  mme bank0=idle
  @9 alu op=add
queue mem.w0
entry "main"
  run "kk" chip 0 at 0 base16=3
  import nothing
  phase "p"
"#;
    let expected = [
        "3:7: \"two\" is not a count of chips; write a decimal number in its range",
        "4:10: \"->\" is missing here; write chip.link -> chip.link: link 0.0 -> 1.8",
        "5:1: no directive or instruction is called \"imagee\"; did you mean image?",
        "6:14: \"0:q0.0.0\" is not a place; write chip:slice.bank.word",
        "7:1: \"c\" has 318 of 320 numbers missing; end it with `fill 0`",
        "8:10: \"300\" is not a number of i8",
        "10:7: \"mem.x0\" is not a queue; queues are mem.w0",
        "13:3: @3: the queue issues its next instruction at 6 or later; give a later cycle",
        "14:13: bank0=read:0+b0:e99 is wrong; expected read:WORD+bBASE:STREAM",
        "15:3: no directive or instruction is called \"mme\"; did you mean mem?",
        "16:6: mem.w0 takes no alu; move it below another `queue`",
        "17:7: the block has mem.w0 on line 11 already; put the instructions together",
        "18:1: entry \"main\" ",
        "19:7: no block is called \"kk\"; did you mean \"k\"?",
        "21:12: \"cycles\" is missing here; write phase NAME at CYCLE cycles N",
    ];
    // The import on line 20 makes the entry one that gives what the block leaves out.
    let errors_found = parse(text).unwrap_err().to_string();
    let block = errors_found.lines().filter(|line| line.starts_with("9:1: block \"k\" leaves out")).count();
    assert_eq!(block, 1, "{errors_found}");
    let others: Vec<&str> = errors_found.lines().filter(|line| !line.starts_with("9:1:")).collect();
    assert_eq!(others.len(), expected.len(), "{errors_found}");
    for (line, expected) in others.iter().zip(expected) {
        assert!(line.contains(expected), "{line}\nshould hold\n{expected}");
    }
}

#[test]
fn what_must_come_first_is_asked_for() {
    errors("", &["1:1: the machine is missing; write `machine lockstep1`"]);
    errors("machine lockstep1", &["1:1: the first line must be `lockstep 1`"]);
    errors("lockstep 2\nnonsense", &["1:10: made for format version 2, this reads version 1"]);
    errors("lockstep 1\narithmetic 9\nmachine tsp2020", &["2:12: made for arithmetic version 9, this computes 1"]);
    errors("lockstep 1\nimage a at e0.0.0\nzero", &["2:7: the machine must be known here; write `machine lockstep1`"]);
    errors("lockstep 1\nmachine lockstep3", &["2:9: machine description: no machine is called"]);
    errors("lockstep 1\nmachine\nname = \"x\"\n", &["2:8: the description has no end; write `end`"]);
    errors("lockstep 1\nmachine\nname = \"x\"\nend\n", &["2:8: machine description: key clock.hertz is missing"]);
    errors(&format!("{HEAD}machine tsp2020\n"), &["3:1: the machine is given twice, or too late"]);
}

#[test]
fn what_stands_in_the_wrong_place_is_told() {
    errors(&format!("{HEAD}mem bank0=idle\n"), &["3:1: an instruction stands below a queue; write `queue NAME`"]);
    errors(&format!("{HEAD}queue mem.w0\n"), &["3:1: `queue` stands below a block; write the block above it"]);
    errors(&format!("{HEAD}entry e\nimport nothing\n"), &["4:1: `import` stands below a run"]);
    errors(&format!("{HEAD}i8 1 2\n"), &["3:1: \"i8\": data stands below an image or a tensor"]);
    errors(&format!("{HEAD}image a at e0.0.0\nzero\nzero\n"), &["5:1: nothing can follow `zero` or `absent`"]);
    errors(
        &format!("{HEAD}image a at e0.0.0\nf32 1.0\nu8 fill 0"),
        &["4:1: a lane of an image is one byte, f32 has more"],
    );
    errors(&format!("{HEAD}tensor a f32 1 at e0.0.0\n"), &["3:19: a tensor of f32 begins at one word of 4 slices"]);
    errors(&format!("{HEAD}name \"a\\q\"\n"), &["3:6: a backslash stands before"]);
    errors(&format!("{HEAD}name \"a\n"), &["3:6: the name has no closing quote"]);
    errors(&format!("{HEAD}chips 1 2\n"), &["3:9: \"2\" is not expected here"]);
    errors(&format!("{HEAD}block b\nqueue alu.0\nsync\n@9 sync"), &["6:1: the cycle is not known after a barrier"]);
}

/// What hangs together badly is told with the line it stands on.
#[test]
fn faults_of_form_have_their_lines() {
    let images = "image a at e0.0.0 vectors 2\nzero\nimage b at e0.0.1\nzero\n";
    errors(&format!("{HEAD}{images}"), &["5:1: image 1 \"b\": lies over image 0 \"a\"; move one of them"]);
    errors(
        &format!("{HEAD}image a at 0:e0.0.4095 vectors 2\nzero\n"),
        &["3:1: image 0 \"a\": has 2 vectors from word"],
    );
    errors(&format!("{HEAD}input x i8 1 at 3:e0.0.0\n"), &["3:1: binding 0 \"x\": chip 3: the program has 1 chips"]);
    errors(
        &format!("{HEAD}input x i16 1 at e0.0.0\n"),
        &["3:1: binding 0 \"x\": has 1 words, 1 elements of i16 have 2"],
    );
    errors(
        &format!("{HEAD}block b\nqueue alu.16\nsync\n"),
        &["4:1: block 0 queue 0 \"b\": lockstep1 has no queue alu.16"],
    );
    let flow = "block b\ncycles 1\nimports 0\nqueue alu.0\nsync\nflow\nalu.0[1] operand 0 <- nothing\n";
    errors(&format!("{HEAD}{flow}"), &["9:1: block 0 flow edge 0 \"b\": alu.0 has no instruction 1"]);
}

/// All predictions are given, or none.
#[test]
fn a_mixture_is_an_error() {
    let text = format!("{HEAD}block b\ncycles 3\nqueue alu.0\nnop cycles=3\nentry e\nrun b\n");
    errors(&text, &["3:1: block \"b\" leaves out", "7:1: entry \"e\" leaves out"]);
    let text = format!("{HEAD}block b\nqueue alu.0\nnop cycles=3\nentry e\nphase all at 0 cycles 3\nrun b\n");
    let parsed = parse(&text).unwrap();
    assert!(parsed.derive && parsed.program.entries[0].phases.len() == 1);
}
