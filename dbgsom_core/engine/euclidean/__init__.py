"""The fast exact search for Euclidean maps: what it is made of, from the inside out.

* `engine.llvm`: vector instructions for one block of samples. `compare` compares a block, or two at
  once, with one `panel` after the other; `bounds`, `neighbours` and `transpose` serve them.
* `blocks`: what blocks, panels and their packed coordinates are; packing and sorting samples.
  `layout` does the same for prototypes, and says which of them share a panel.
* `comparisons`: blocks are compared with the panels that margins do not exclude; what is too close
  to call is settled by the definition.
  What is too close, and why nothing nearer is missed, is derived in tests/engine/accuracy.md.
* `pass_loops`: the compiled pass over all blocks. Samples that changed their unit are moved from
  one sum to another. `fine_tuning_loops` is fine-tuning's pass.
* `packing`: samples that were packed once, or are read and packed anew in each pass, and how
  threads go through them. `search`: one training's memory of sums and order; `pruning`: of margins,
  and when they pay. `packed_found`: what a pass found, and the prototypes that follow from it.
* `fine_tuning`: what samples train besides, in packed sums or sample by sample.
* `one_shot`: the same comparison for samples that are asked about once, without a copy.

A training goes through `search` alone: pack, then for each epoch lay out, pass, hand totals back.
"""
