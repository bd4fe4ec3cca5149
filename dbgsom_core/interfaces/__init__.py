"""What each kind of component is, one file a kind; authors find all of it in `dbgsom_core.api`."""
