"""The training of one map, epoch by epoch, and of the child maps below it."""
