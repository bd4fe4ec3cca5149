"""The fast exact search for Euclidean maps: what it is made of, from the inside out.

* `engine.llvm`: vector instructions for one block of samples. `compare` compares a block, or two at
  once, with one `panel` after the other; `bounds`, `neighbours` and `transpose` serve them.
* `blocks`: what blocks, panels and their packed coordinates are; packing and sorting samples.
  `layout` does the same for prototypes, `panel_groups` says which of them share a panel.
* `comparisons`: blocks are compared with the panels that margins do not exclude; what is too close
  to call is settled by the definition.
* `accuracy`: what is too close to call, and why nothing nearer is missed.
* `pass_loops`: the compiled pass over all blocks. Samples that changed their unit are moved from
  one sum to another. `fine_tuning_loops` is fine-tuning's pass.
* `packing`: the packed copy of the data. `search`: one training's memory of sums and order;
  `pruning`: of margins, and when they pay. `assignment`: what a pass found. `update`: the
  prototypes that follow from it. `tally`: how threads add up.
* `fine_tuning_blocks`: what samples train besides, by packed blocks; `fine_tuning_rows`: the same
  sample by sample, for what is found without them.
* `streamed_search`: the same search over a table that is read anew in each pass.
* `one_shot`, `one_shot_loops`: the same comparison for samples that are asked about once, without
  a copy.

A training goes through `search` alone: pack, then for each epoch lay out, pass, hand totals back.
"""
