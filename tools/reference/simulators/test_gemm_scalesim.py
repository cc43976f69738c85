"""`python3 -m unittest discover tools/reference/simulators`: the standard library only."""

import configparser
import pathlib
import tempfile
import unittest

import gemm_scalesim

REPORT = (
    "LayerID, Total Cycles (incl. prefetch), Total Cycles, Stall Cycles, Overall Util %, Mapping Efficiency %,"
    " Compute Util %,\n0, 47821, 4855, 0, 21.091658084449023, 100.0, 16.69928245270711,\n"
)


class Report(unittest.TestCase):
    def test_cycles_are_those_that_were_simulated(self):
        found = gemm_scalesim.parse_report(REPORT, 320, (256, 320, 1280))
        # Four tiles of K: 320 rows of weights in, then 256 rows through 320 + 320 - 1 steps.
        self.assertEqual(found["cycles"], 4 * (320 + 256 + 320 + 320 - 2) - 1)
        self.assertEqual((found["stall_cycles"], found["cycles_with_prefetch"]), (0, 47821))

    def test_other_work_is_refused(self):
        with self.assertRaisesRegex(SystemExit, "simulated 104857600 multiply-adds, not the 419430400"):
            gemm_scalesim.parse_report(REPORT, 320, (256, 1280, 1280))


class Inputs(unittest.TestCase):
    def test_buffers_hold_each_matrix_twice(self):
        with tempfile.TemporaryDirectory() as folder:
            paths = gemm_scalesim.write_inputs(pathlib.Path(folder), 320, (256, 320, 1280))
            self.assertIn("gemm, 256, 320, 1280,", pathlib.Path(paths["topology"]).read_text(encoding="utf-8"))
            config = configparser.ConfigParser()
            config.read(paths["config"])
        sizes = config["architecture_presets"]
        kib = [int(sizes[name]) for name in ("IfmapSramSzkB", "FilterSramSzkB", "OfmapSramSzkB")]
        self.assertEqual(kib, [2 * 320, 2 * 400, 2 * 80])

    def test_new_numpy_is_refused(self):
        gemm_scalesim.refuse_new_numpy("2.3.5")
        with self.assertRaisesRegex(SystemExit, "numpy<2.4"):
            gemm_scalesim.refuse_new_numpy("2.10.0")


if __name__ == "__main__":
    unittest.main()
