"""The fast exact search for Euclidean maps: what it is made of, from the inside out.

* `panel`, `sweep`, `lanes`, `tiles`: vector instructions for one block of samples, written out for
  LLVM. `sweep` compares a block, or two at once, with one panel after the other.
* `block_loops`: what blocks, panels and their packed coordinates are; packing and sorting samples.
  `layout` does the same for prototypes, `patches` says which of them share a panel.
* `comparing`: blocks are compared with the panels of their units so far, then with those that
  bounds do not exclude; what is too close to call is settled by the definition.
* `block_search`: the compiled pass over all blocks. Samples that changed their unit are moved from
  one sum to another. `linked` is fine-tuning's pass, with `sides` for its comparisons.
* `packing`: the packed copy of the data. `search`: one training's memory of bounds, sums and
  order, and when each pays. `assignment`: what a pass found. `update`: the prototypes that follow
  from it; `rings` smooths it over a rectangle. `tuning`: fine-tuning on top of it.
* `once`, `once_loops`: the same comparison for samples that are asked about once, without a copy.

A training goes through `search` alone: pack, then for each epoch lay out, pass, hand totals back.
"""
