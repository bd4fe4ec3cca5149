"""From a data set's name to arrays that are ready to train, and what is wrong with them."""
