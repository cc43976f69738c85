"""How fast SCALE-Sim simulates a GEMM, y[M, N] = x[M, K] w[K, N], on weight-stationary arrays of 320 x 320.

SCALE-Sim 3.0.0 simulates one array at a time; a chip of the comparison has four (`--planes`). Two cases are measured:

- whole: all of the GEMM on one array. Equal work: the same multiply-adds, so seconds and multiply-adds a second can be
  compared.
- share: one plane's part, N / planes outputs of all M rows and all K. On a chip that splits N over its planes, all of
  them do the same in the same cycles, so this one array's cycles are the chip's. With four planes it is a quarter of
  the work, and more cycles a second, since SCALE-Sim's time grows faster than the work.

Cycles are its "Total Cycles": computing and stalls. Those that it adds for filling its buffers from DRAM come from a
formula, and the chip of the comparison has its weights on the chip. `InterfaceBandwidth = CALC` keeps DRAM from
stalling the array for the same reason. Seconds are those of one run in a warm process, without Python's start and
imports.

    pip install 'numpy<2.4' scalesim
    python tools/reference/simulators/gemm_scalesim.py --m 256 --n 1280 --k 1280
"""

import argparse
import contextlib
import csv
import importlib.metadata
import json
import os
import pathlib
import platform
import sys
import tempfile
import time

INSTALL = "pip install 'numpy<2.4' scalesim"

# The formats' own keys. None may be left out, although most of them do not matter here.
CONFIGURATION = """\
[general]
run_name = gemm
[run_presets]
InterfaceBandwidth = CALC
UseRamulatorTrace = False
[architecture_presets]
ArrayHeight = {array}
ArrayWidth = {array}
IfmapSramSzkB = {x_kib}
FilterSramSzkB = {w_kib}
OfmapSramSzkB = {y_kib}
IfmapOffset = 0
FilterOffset = 10000000
OfmapOffset = 20000000
Dataflow = ws
ReadRequestBuffer = 64
WriteRequestBuffer = 64
[layout]
IfmapCustomLayout = False
IfmapSRAMBankBandwidth = 10
IfmapSRAMBankNum = 10
IfmapSRAMBankPort = 2
FilterCustomLayout = False
FilterSRAMBankBandwidth = 10
FilterSRAMBankNum = 10
FilterSRAMBankPort = 2
[sparsity]
SparsitySupport = False
"""


def main() -> int:
    options = arguments()
    versions = {package: version_of(package) for package in ("scalesim", "numpy")}
    refuse_new_numpy(versions["numpy"])
    share = options.n // options.planes
    measure(options.array, (8, 8, 8))  # not counted: the first run in a process is slower
    found = {
        **versions,
        "python": platform.python_version(),
        "array": options.array,
        "planes": options.planes,
        "whole": measure(options.array, (options.m, options.n, options.k)),
        "share": measure(options.array, (options.m, share, options.k)),
    }
    print(json.dumps(found))
    return 0


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="How fast SCALE-Sim simulates a GEMM; prints one JSON object.")
    for name, meaning in [("m", "rows of activations"), ("n", "outputs"), ("k", "inputs")]:
        parser.add_argument(f"--{name}", type=int, required=True, help=meaning)
    parser.add_argument("--array", type=int, default=320, help="side of an array")
    parser.add_argument("--planes", type=int, default=4, help="arrays of the chip that it is compared with")
    options = parser.parse_args()
    if min(options.m, options.n, options.k, options.array, options.planes) < 1 or options.n % options.planes:
        parser.error("sizes are at least 1, and --planes must divide --n")
    return options


def version_of(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        raise SystemExit(f"{sys.executable} has no {package}: {sys.executable} -m {INSTALL}") from None


def refuse_new_numpy(version: str) -> None:
    """Newer ones refuse what SCALE-Sim 3.0.0 does to arrays of one number."""
    if tuple(int(part) for part in version.split(".")[:2]) >= (2, 4):
        raise SystemExit(f"numpy {version}: SCALE-Sim 3.0.0 needs one below 2.4: {sys.executable} -m {INSTALL}")


def measure(array: int, sizes: tuple[int, int, int]) -> dict:
    """One run, in a folder of its own that does not stay."""
    from scalesim.scale_sim import scalesim

    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        paths = write_inputs(folder, array, sizes)
        begun, begun_cpu = time.perf_counter(), time.process_time()
        # Whatever it says is not part of the answer.
        with contextlib.redirect_stdout(sys.stderr):
            run = scalesim(save_disk_space=True, verbose=False, input_type_gemm=True, **paths)
            run.run_scale(top_path=os.fspath(folder / "reports"))
        seconds, cpu_seconds = time.perf_counter() - begun, time.process_time() - begun_cpu
        found = parse_report((folder / "reports/gemm/COMPUTE_REPORT.csv").read_text(encoding="utf-8"), array, sizes)
    rate = found["cycles"] / seconds
    return {**found, "seconds": seconds, "cpu_seconds": cpu_seconds, "cycles_per_second": rate}


def write_inputs(folder: pathlib.Path, array: int, sizes: tuple[int, int, int]) -> dict[str, str]:
    """Its three files. The buffers, of which half is in use at a time, hold the whole of each matrix."""
    m, n, k = sizes
    kib = {name: 2 * -(-size // 1024) for name, size in [("x_kib", m * k), ("w_kib", n * k), ("y_kib", m * n)]}
    texts = {
        "config": CONFIGURATION.format(array=array, **kib),
        "topology": f"Layer, M, N, K,\ngemm, {m}, {n}, {k},\n",
        "layout": "Layer,\ngemm, 0,\n",
    }
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")
    return {name: os.fspath(folder / name) for name in texts}


def parse_report(text: str, array: int, sizes: tuple[int, int, int]) -> dict:
    """The cycles, after a look at the utilisation: it says how many multiply-adds were simulated."""
    row = next(csv.DictReader(text.splitlines(), skipinitialspace=True))
    cycles, (m, n, k) = int(row["Total Cycles"]), sizes
    multiply_adds = float(row["Overall Util %"]) / 100 * cycles * array * array
    if abs(multiply_adds / (m * n * k) - 1) > 1e-6:
        asked = f"{m * n * k} of {m} x {n} x {k}"
        raise SystemExit(f"SCALE-Sim simulated {multiply_adds:.0f} multiply-adds, not the {asked}")
    return {
        "m": m,
        "n": n,
        "k": k,
        "cycles": cycles,
        "stall_cycles": int(row["Stall Cycles"]),
        "cycles_with_prefetch": int(row["Total Cycles (incl. prefetch)"]),
    }


if __name__ == "__main__":
    sys.exit(main())
