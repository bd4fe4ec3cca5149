"""How wrong the fast search may be, and why its units are those of the definition all the same.

Tests named here without a file are in tests/engine, test_accuracy.py or test_told_errors.py: they
build worst cases and compare with fractions.Fraction. u is the rounding unit of the blocks (2⁻²⁴,
or 2⁻⁵³ after `doubled` and in the second try of `one_shot`), u₆₄ = 2⁻⁵³. Bounds are of first order;
`_MORE` stands for products of errors while (D + 13)u < 0.0196: up to 3·10⁵ features in float32.

**Definition.** `loops.euclidean_distance`: float64 on samples as given, squares added by feature;
equal distances go to the lower row. Its square is wrong by at most (D + 4)u₆₄ of itself, the root
included (D + 2 roundings and twice one).

**Packed numbers** (`PackedSamples`, `blocks.pack_blocks`). With centre c and scale s as stored, let
x = s(x_given - c) and w = s(w_given - c) without rounding: distances just scale. s is a power of
two, so that only the subtraction rounds (u₆₄ of the entry); then entries go to the next multiple of
the grid q, at most q/2 away, and to the dtype of the blocks (u). Since |x_k| ≤ 1 a sample moves by
at most √D q/2 + (u + u₆₄)‖x‖. Prototypes have no grid and lie anywhere up to `layout.FAR`.
`test_a_packed_number_is_wrong_by_half_a_step_and_its_roundings`

**Values** (`llvm.panel.accumulate`). Of V = ‖w‖²/2 - x·w is computed: start = ‖w‖²/2 in float64,
one feature after the other, rounded to the blocks; then one fused step a feature, in order, so that
the start passes D roundings and no product more. In units u of ‖w‖²/2 and of ‖x‖‖w‖:

* ‖w‖²/2: 1 for the start and D for the steps in float32. In float64 the start itself has D + 2.
* x·w: D for the steps, 1 each for sample and prototype, and what is u₆₄ in float32.
* the row in the lowest ROW_BITS (`compare._Keys.marked`, read as `middle`): 4 steps of the last
  place, 8u of the value. Keys are in the order of their middles, but within 8 steps.
* the grid: √D q/2 · ‖w‖ at once.

So |value - V| ≤ (D + 5 + 8)u (‖w‖²/2 + ‖x‖‖w‖) + √D q/2 ‖w‖ in float32, with 3u to spare; half a
square by definition is wrong by (D + 4)/2 u₆₄ (‖x‖ + ‖w‖)², and `accuracy_of` takes D + 6. Both,
with the longest prototype for ‖w‖, are E(x) = constant + by_norm ‖x‖ + by_square ‖x‖². What float32
rounds to 0 is below D 2⁻¹⁵⁰ a step, far below `TINY`. `nearest_of_four` of fine-tuning adds in two
chains and keeps no rows: fewer roundings. `test_a_value_is_no_more_wrong_than_its_bound` comes to
more than half of E.

In *float64 blocks* the start takes D + 1 units more of ‖w‖²/2. `one_shot`, which has no grid, adds
them. A training does not: distances that are near 512 of the bound would be computed in another way
and errors change in their last bits. E still covers values, (2D + 10)u of ‖w‖²/2 against 2.04 D +
19; of values and definition both at their worst, 3D + 14, some 0.48 D u ‖w‖² are missing on paper.
The grid, q ≥ 2(n + 1)u, has 1.02(n + 1)√D u ‖w‖, of which prototypes whose roundings are at their
worst (a few first entries make up their length) use little: an estimate, not a proof, for √D ‖w‖ <
n/3. `test_without_a_grid_values_and_definition_may_both_be_at_their_worst`

**Slack.** A lane is in doubt when second ≤ best + 2E, written as `TWICE` E for the rounding of that
sum (`pass_loops.slack_of_block`). Else every other prototype j has value_j - value_b > 2E, so half
its true square exceeds that of b by more than 2(E - error of values), which is twice what the
definition may be wrong: it finds b nearer too, and not equal. In doubt `settle` compares by
definition whatever lies within the slack of the best, or of the second where two are asked for: the
true one is among those, and ties go to the lower row whatever panel they are in.
`test_prototypes_a_few_bits_apart_are_told_apart_as_the_definition_does`,
`test_values_that_lost_half_their_bits_do_not_decide`; at random test_euclidean_search.py
`test_units_and_distances_are_those_of_the_plain_loop_epoch_after_epoch`,
`test_the_two_nearest_are_those_of_the_plain_loop`; test_one_shot.py, test_fine_tuning_loops.py.

**Margins that shrink** (`llvm.bounds`, `comparisons.keep_margins`; after Yinyang k-means). They are
of the numbers that are stored, sample x̃ and float64 prototype w̃, so that neither grid nor centring
counts. With σ the stored ‖x̃‖², σ + 2 value is wrong by 2E and, of ‖x‖², by u for σ, u for the sum
and (in float64) D u, which E has as by_square: S = `OF_SQUARES` u ‖x‖² and 2E, together slack[1],
are more than all of it.

* below: √(σ + 2 nearest - slack[1]) ≤ ‖x̃ - w̃‖ for all w̃ of a panel;
* above: a panel whose ‖x̃ - w̃‖² exceed U² = b² + 9E + 2S, b the distance to the nearest, has
  V > best + 2E + E and values > best + 2E: left out it holds neither unit nor tie, and IN_REACH
  finds what ALL does, to the bit of every distance. `write_tops` fills in √(σ + 2 best +
  4 slack[0] + 3 slack[1]) ≥ U of this pass. E and S are there those of the least exact pass to
  come (`Pruning.take`: prototypes up to 4 times as long; beyond that margins begin anew).

The margin of a block and a panel is the smallest below - above of the block's samples. From pass to
pass ‖x̃ - w̃‖ shrinks by at most the step of w̃, and b grows by at most the step of the unit so
far; √(b² + c) grows no faster than b. `layout.lay_panels` adds the longest step of a panel to its
drift, times 1 + 10⁻⁶ for its own D + 2 roundings, and rounds the total up to float32 (once more
10⁻⁶, then nextafter), as it does each neuron's step; `slide` adds the longest of a block's units,
times 1 + SPARE. Kept is margin + (drift + slide)(1 - SPARE), with below times 1 - 2 SPARE and above
times 1 + 2 SPARE, cut off after 8 bits; a panel is left out if that exceeds (drift + slide)(1 +
SPARE) of later. Roots, products, sums and differences take less than 5u of float32, SPARE = 2⁻²¹ is
8u. What is below 0 becomes 0 and is compared. Sorting, regrouping and `doubled` begin margins anew;
newcomers have a panel of their own.
`test_margins_are_those_of_true_distances_or_less_while_all_move`, test_layout.py
`test_the_drift_is_the_longest_step_of_a_panel_or_a_little_more`.

**Sums.** Packed entries are whole multiples of q = 2^-digits, also once rounded to float32, and
digits ≤ 52 - log₂(n + 1) rounded up: n entries are less than 2⁵² steps, and so is what a thread has
added and taken away, each sample once at most. float64 adds them without rounding: any order,
threads and history give the same bits (given the centre, which is a plain mean). That packing moved
each entry by q/2, and by u in float32 data, is all that a sum is wrong.
`test_no_sum_of_packed_samples_needs_more_than_53_bits`,
`test_sums_are_those_of_whole_numbers_in_any_order_and_after_any_history`

**Errors.** A distance is root(σ + 2 best) where that square is at least POOR = 512 times slack[1],
so that it is wrong by a thousandth at most, beside the √D q/2 of packing, and most often by some u;
else, and after a doubt, it is that of the definition. As whole numbers of 1/steps (rounded, or cut
off: one step at most) with steps·distance ≤ 2⁵¹ and n·steps·distance < 2⁶² (`FastSearch._steps`)
they add up in int64 in any order. `test_errors_are_whole_steps_of_distances_that_lost_little`

*After growth* `FastSearch.admit` compares newcomers and the panels of a block's units (OWN). The
unit so far is nearest by definition among the known, which have not moved; a newcomer replaces it
only beyond the slack or by definition. Units, hits and sums are therefore exact. But a tie with a
panel that is not compared goes unseen, the distance then stays the computed one, and which panels
are compared depends on who shares the block: errors of such ties, and the quantization error of
that epoch, differ with the order of the samples by the rounding of a few distances (10⁻¹¹ in all is
usual). `test_after_growth_only_errors_of_near_ties_depend_on_who_shares_a_block`

**Far ends.** Offsets: c is subtracted in float64; where data lie far from 0 for their spread,
x_given has few digits and the definition as few. Outliers make all else small and doubts many: from
one in 16 on, with many neurons one in four (`is_too_much`), blocks become float64. A place without
prototype begins with 10³⁸, above any value. Prototypes beyond FAR or nan: `PanelRoom.lay` refuses,
units come by definition.
`one_shot`: rows packed together with one beyond FAR are left to the plain loop; a prototype's reach
outside 2^±450 leaves all to the plain loop, nan in a sample too. In training
`moments.check_varies` refuses data whose squares leave float64: `TINY` covers what squares of the
definition lose below 2⁻¹⁰⁷⁴ while data reach 2⁻⁴⁸⁰ at least; from there down to the least that
it takes, 10⁻¹⁵⁰, the rest of E does, unless all prototypes lie within 10⁻³ of that reach about the
centre. Duplicates tie, and are settled.
`test_units_do_not_depend_on_the_size_of_the_data`; test_one_shot.py
`test_units_are_those_of_the_definition_where_its_squares_are_0_or_infinite`,
`test_a_sample_beyond_all_packed_numbers_is_compared_by_definition`; test_euclidean_search.py
`test_blocks_of_float64_follow_where_float32_leaves_too_many_in_doubt`,
`test_prototypes_far_away_from_the_data_are_found_too`.
"""

from __future__ import annotations

import math

from dbgsom_core.engine.euclidean.blocks import Accuracy
from dbgsom_core.engine.llvm.panel import ROW_BITS

DOUBLE = 2.0**-53  # the rounding unit of float64, u₆₄ above
_MORE = 1.02  # for products of errors, which the derivation leaves out
TINY = 1e-30  # for what float32 rounds to 0
TWICE = 2.02  # errors E of two values, and one per cent for the rounding of the slack itself
OF_SQUARES = 4.0  # rounding units of ‖x‖² that a squared distance may be wrong by, besides


def accuracy_of(d: int, unit: float, grid: float, largest: float) -> Accuracy:
    """Return E for samples with d features in blocks of a dtype with this rounding unit.

    ``grid`` is the step of packed numbers, at most 2⁻⁵² for none; ``largest`` at least the norm of
    the longest packed prototype.
    """
    product = _MORE * (d + 5 + (1 << ROW_BITS)) * unit
    start = _MORE * (d + 1) * unit if unit == DOUBLE and grid <= 2 * DOUBLE else 0.0
    definition = _MORE / 2 * (d + 6) * DOUBLE
    constant = (product / 2 + definition + start / 2) * largest**2
    moved = _MORE / 2 * math.sqrt(d) * grid * largest
    by_norm = (product + 2 * definition) * largest
    return Accuracy(constant + moved + TINY, by_norm, definition, unit, largest)


def error_steps(shape: tuple[int, ...], accuracy: Accuracy) -> float:
    """Return steps of packed distances of samples (n, d): sums of n fit 62 bits, and one 51.

    No packed sample with d features is longer than √d.
    """
    n, d = shape
    _, power = math.frexp(math.sqrt(d) + accuracy.largest)
    return math.ldexp(1.0, min(60 - math.ceil(math.log2(n + 1)), 51) - power)
