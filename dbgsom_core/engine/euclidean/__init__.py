"""The fast exact search for Euclidean maps, from the inside out.

* `engine.llvm.tile`: vector code that compares blocks of samples with prototypes; `lanes`: bounds,
  transposes and masks of the samples of a block.
* `packing`: packed coordinates, samples in blocks, in memory or read and packed anew in each pass.
* `layout`: prototypes in panels, and the prototypes that follow from packed sums.
* `search_loops`: the compiled pass: blocks are compared with the panels that lower bounds do not
  exclude, near ties are decided by the definition, samples that changed their unit move from one
  sum to another. How wrong values may be is derived in tests/engine/accuracy.md.
* `search`: the passes of one training, bounds, order of the samples; single passes.
* `packed_result`: what a pass found; `fine_tuning`: what samples train besides their units.
"""
