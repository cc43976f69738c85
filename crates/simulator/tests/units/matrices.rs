//! The matrix programs of `filetests`, all their outputs, against sums made number by number from their images.

use std::path::Path;

use lockstep_arith::blocks::dequantize;
use lockstep_arith::source::SourceType;
use lockstep_kernels::Kernels;
use lockstep_machine::inst::operand::Format;
use lockstep_program::program::{BindingKind, Content};
use lockstep_program::{Program, derive, text};
use lockstep_simulator::{Linked, Simulator};

use crate::bench::{LANES, f32s, i32s, i64s};

fn program(name: &str) -> Program<'static> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../filetests").join(format!("{name}.lka"));
    let mut program = text::parse(&std::fs::read_to_string(path).unwrap()).unwrap().program;
    derive(&mut program).unwrap();
    program
}

/// An output after a run.
fn output(program: &Program<'_>, name: &str) -> Vec<u8> {
    assert!(program.bindings.iter().all(|binding| binding.kind == BindingKind::Output), "all numbers are in images");
    let linked = Linked::new(program).unwrap();
    let mut simulator = Simulator::new(&linked, Kernels::detect(), 1).unwrap();
    simulator.run("main").unwrap();
    simulator.read(name).unwrap()
}

fn image<'a>(program: &'a Program<'_>, name: &str) -> &'a [u8] {
    let image = program.images.iter().find(|image| image.name == name).unwrap_or_else(|| panic!("no image {name}"));
    let Content::Bytes(bytes) = &image.content else { panic!("{name} has no bytes") };
    bytes
}

/// The numbers of an image or of a tensor.
fn numbers(program: &Program<'_>, name: &str, format: Format) -> Vec<i64> {
    let width = usize::from(format.streams());
    let plane = |plane: usize| if width == 1 { name.to_owned() } else { format!("{name}.{plane}") };
    let planes: Vec<&[u8]> = (0..width).map(|at| image(program, &plane(at))).collect();
    let unsigned = |at: usize| planes.iter().rev().fold(0_i64, |number, bytes| number << 8 | i64::from(bytes[at]));
    let signed = |number: i64| number << (64 - 8 * width) >> (64 - 8 * width);
    let is_signed = !matches!(format, Format::U8 | Format::U16);
    (0..planes[0].len()).map(|at| if is_signed { signed(unsigned(at)) } else { unsigned(at) }).collect()
}

/// Vectors that lie on `slices` slices in turn, in one list.
fn vectors(program: &Program<'_>, name: &str, format: Format, slices: usize) -> Vec<Vec<i64>> {
    let of_slices: Vec<_> = (0..slices).map(|slice| numbers(program, &format!("{name}{slice}"), format)).collect();
    let count = of_slices.iter().map(|numbers| numbers.len() / LANES).sum();
    (0..count).map(|at| of_slices[at % slices][at / slices * LANES..][..LANES].to_vec()).collect()
}

fn rows(program: &Program<'_>, name: &str, format: Format) -> Vec<Vec<i64>> {
    numbers(program, name, format).chunks(LANES).map(<[i64]>::to_vec).collect()
}

fn dot(a: &[i64], b: &[i64]) -> i64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

#[test]
fn int8() {
    let program = program("matmul-int8");
    let (w, x) = (vectors(&program, "w", Format::I8, 16), rows(&program, "x", Format::I8));
    let expected: Vec<i32> = x.iter().flat_map(|x| w.iter().map(|w| dot(w, x) as i32)).collect();
    assert_eq!(i32s(&output(&program, "y")), expected);
}

#[test]
fn fp16() {
    let program = program("matmul-fp16");
    // In units of 2^-24, which every finite number of binary16 is a multiple of.
    let units = |number: i64| {
        let mut value = [0.0];
        dequantize(SourceType::F16, &(number as u16).to_le_bytes(), &mut value);
        i128::from((f64::from(value[0]) * f64::from(1 << 24)) as i64)
    };
    let all = |rows: Vec<Vec<i64>>| -> Vec<Vec<i128>> {
        rows.into_iter().map(|row| row.into_iter().map(units).collect()).collect()
    };
    let (w, x) = (all(vectors(&program, "w", Format::I16, 8)), all(rows(&program, "x", Format::I16)));
    let sum = |w: &[i128], x: &[i128]| w.iter().zip(x).map(|(w, x)| w * x).sum::<i128>() as f32;
    let scale = 2.0_f32.powi(-48);
    let expected: Vec<f32> = x.iter().flat_map(|x| w.iter().map(|w| sum(w, x) * scale)).collect();
    assert_eq!(f32s(&output(&program, "y")), expected);
}

/// `sum_g A[g] (D[g] sum(code a) + O[g] sum(a))` of one output; D and O are given by group.
fn block_sum(codes: &[i64], a: &[i64], scale: &[i64], d: impl Fn(usize) -> i64, o: impl Fn(usize) -> i64) -> i64 {
    let group = |g: usize| {
        let lanes = 32 * g..32 * g + 32;
        let (codes, a) = (&codes[lanes.clone()], &a[lanes]);
        scale[32 * g] * (d(g) * dot(codes, a) + o(g) * a.iter().sum::<i64>())
    };
    (0..LANES / 32).map(group).sum()
}

#[test]
fn lb8() {
    let program = program("matmul-lb8");
    let (w, x) = (vectors(&program, "w", Format::I8, 16), rows(&program, "a", Format::I8));
    let scales = rows(&program, "A", Format::U16);
    let d: Vec<_> = (0..8).map(|pair| rows(&program, &format!("d{pair}"), Format::I16)).collect();
    let sum = |n: usize, m: usize| block_sum(&w[n], &x[m], &scales[m], |g| d[g % 8][g / 8][n], |_| 0) as f32;
    let expected: Vec<f32> = (0..320).flat_map(|m| (0..320).map(move |n| (m, n))).map(|(m, n)| sum(n, m)).collect();
    assert_eq!(f32s(&output(&program, "y")), expected);
}

#[test]
fn lb4() {
    let program = program("matmul-lb4");
    let (bytes, x) = (vectors(&program, "w", Format::U8, 16), rows(&program, "a", Format::I8));
    let scales = rows(&program, "A", Format::U16);
    let s: Vec<_> = (0..8).map(|pair| rows(&program, &format!("s{pair}"), Format::I16)).collect();
    let codes = |half: usize| -> Vec<Vec<i64>> {
        bytes.iter().map(|row| row.iter().map(|byte| (byte >> (4 * half) & 15) - 8).collect()).collect()
    };
    let halves = [codes(0), codes(1)];
    let sum = |n: usize, m: usize| {
        let of_half = |half: usize| {
            let number = |index: usize| s[index % 8][index / 8][n];
            let (a, scale) = (&x[256 * half + m], &scales[256 * half + m]);
            block_sum(&halves[half][n], a, scale, |g| number(20 * half + g), |g| number(20 * half + 10 + g))
        };
        (of_half(0) + of_half(1)) as f32
    };
    let expected: Vec<f32> = (0..256).flat_map(|m| (0..320).map(move |n| (m, n))).map(|(m, n)| sum(n, m)).collect();
    assert_eq!(f32s(&output(&program, "y")), expected);
}

#[test]
fn wide_modes() {
    for (name, format) in [("matmul-wide12", Format::I16), ("matmul-wide25", Format::I32)] {
        let program = program(name);
        let (by_row, x) = (vectors(&program, "row", Format::I16, 8), rows(&program, "x", format));
        let expected: Vec<i64> = x.iter().flat_map(|x| by_row.iter().map(|w| dot(&w[160..], &x[160..]))).collect();
        assert_eq!(i64s(&output(&program, "row.all")), expected, "{name} by row");
        let (by_column, z) = (vectors(&program, "column", Format::I16, 8), rows(&program, "z", format));
        let sum = |z: &[i64], n: usize| by_column.iter().zip(z).map(|(w, z)| w[n] * z).sum::<i64>();
        let expected: Vec<i64> = z.iter().flat_map(|z| (0..LANES).map(|n| sum(z, n))).collect();
        assert_eq!(i64s(&output(&program, "column.all")), expected, "{name} by column");
    }
}
