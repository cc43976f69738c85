"""`python3 -m unittest discover tools/reference/quality`: the standard library only."""

import math
import unittest

from windows import Mean, cut, scored


class Windows(unittest.TestCase):
    def test_bos_heads_each_window_and_the_rest_is_left_out(self):
        self.assertEqual(cut(list(range(10, 21)), 5, 1), [[1, 10, 11, 12, 13], [1, 14, 15, 16, 17]])

    def test_without_bos_windows_are_plain_chunks(self):
        self.assertEqual(cut([3, 4, 5, 6], 2, None), [[3, 4], [5, 6]])

    def test_exactly_one_window(self):
        self.assertEqual(cut([7, 8, 9], 4, 1), [[1, 7, 8, 9]])

    def test_a_short_text_is_refused(self):
        with self.assertRaisesRegex(ValueError, "2 tokens"):
            cut([7, 8], 4, 1)

    def test_second_half_is_scored(self):
        self.assertEqual(list(scored(5)), [2, 3, 4])
        self.assertEqual(len(scored(512)), 256)

    def test_uniform_over_eight_is_eight(self):
        mean = Mean()
        mean.add([math.log(8)] * 100)
        self.assertAlmostEqual(mean.perplexity(), 8, places=12)

    def test_standard_error_is_of_the_paired_differences(self):
        own, other = Mean(), Mean()
        other.add([5.0, 1.0, 9.0, 3.0])
        own.add([6.0, 0.0, 10.0, 2.0])
        self.assertAlmostEqual(own.standard_error(other), math.sqrt(4 / 3 / 4), places=12)
        self.assertEqual(other.standard_error(other), 0)


if __name__ == "__main__":
    unittest.main()
